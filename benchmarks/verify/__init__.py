"""How fast and in how much memory an event store is verified."""
