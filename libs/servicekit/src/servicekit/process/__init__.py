"""A process from its settings to its end: reading them, listening, running, stopping."""
