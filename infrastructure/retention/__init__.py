"""What goes out of an event store by itself: the rules of the settings, and who carries them out."""
