"""What an observer is, what can happen to it and to its partitions: pure, as the jobs beside it."""
