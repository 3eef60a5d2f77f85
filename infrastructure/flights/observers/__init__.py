"""The observers of the imported flights: where aircraft are, how late routes are, and what can be searched for."""
