"""How events and read models are kept: one database, one transaction for both."""
