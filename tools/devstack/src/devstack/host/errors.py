"""Trouble is any problem that stops a command. Its text is the one line that the user reads."""


class Trouble(Exception):
    """What is wrong and what to do about it, in one line.

    `status` is the exit status of the command: 1 for a machine or a process that failed,
    2 for something the user typed or set.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.status = status
