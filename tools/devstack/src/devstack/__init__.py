"""The program behind `make`: it starts, tests and ends the whole system, with or without Docker."""
