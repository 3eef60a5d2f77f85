"""What work a program declares, how it is found by name, and the two job types that ship."""
