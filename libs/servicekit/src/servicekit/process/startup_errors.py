"""What stops a process before it has started anything: one line for a person, no traceback."""

__all__ = ["BadSettings", "StartupProblem"]


class StartupProblem(Exception):
    """Says what is wrong and what to do about it, in one line without secrets."""


class BadSettings(StartupProblem):
    """An environment variable that is missing, malformed, unknown or unfit for production."""
