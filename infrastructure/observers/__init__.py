"""Observers of an application's own events: declared, fed live, replayed, recovered."""
