"""How jobs run: a worker claims them, coordinates their steps and records what they report."""
