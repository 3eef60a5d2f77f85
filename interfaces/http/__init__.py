"""The HTTP API: the same documents as the command line's, over FastAPI."""
