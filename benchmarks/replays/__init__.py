"""Replays of one read model over the same events, by Milepost and by the eventsourcing library's own runner."""
