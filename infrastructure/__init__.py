"""How jobs are kept and run: all I/O lives here."""
