"""Proof that what is shown is what happened."""
