"""The audit: one line in the log for every event of both services, and its place in the stream.

Invariant: the place moves on after the lines are written. Who dies in between writes them again,
with the same offsets; none is left out while the stream has it.
"""
