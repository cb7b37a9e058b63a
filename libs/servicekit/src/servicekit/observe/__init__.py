"""What a process says of itself: health, metrics, logs, traces."""
