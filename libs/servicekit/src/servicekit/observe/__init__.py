"""What a process says of itself: health, metrics, logs and traces.

Every log line is one JSON object with the trace it belongs to. Every request is counted and timed
by its route. Liveness says that the process runs, readiness that it can do its work. No log line
and no metric has a label or a length that a caller decides.
"""
