"""The live table of `jobs watch`: its state, how it is drawn, and the keys that steer it."""
