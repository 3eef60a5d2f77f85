"""What a job is: events, commands, the state machine and the rules, with no I/O at all."""
