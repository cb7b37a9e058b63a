"""The same system by Docker Compose.

The compose files hold every decision that they can hold. This package adds the project's name, the
ports and the passwords, and finds out whether Docker can be used at all. `containers` runs the
servers for the tests.
"""
