"""The command line: one module per noun, each of them thin."""
