"""Telling other programs what happened: what is signed and sent, tried again, and given up."""
