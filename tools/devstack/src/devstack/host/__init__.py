"""The machine and the checkout: ports, processes, Debian packages, the venv, locks, the layout.

It does not know the system that runs on the machine. It imports the standard library only, so
that it works before the venv exists. Whatever it cannot do ends in `Trouble`, a single line for
the user.
"""
