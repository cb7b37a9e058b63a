"""The commands behind the Makefile, and how a command line is read."""
