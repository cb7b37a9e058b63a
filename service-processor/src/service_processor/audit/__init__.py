"""The audit: one log line for every event of both services, read from the stream queue `audit`.

Invariant: the stored position moves after the lines are written. A process that dies in between
writes some lines again, with the same offsets; no line is left out while the stream queue has it.
"""
