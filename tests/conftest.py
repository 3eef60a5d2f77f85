"""What holds for all tests."""

import signal

# A program that was started in the background, as a CI may be, ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
