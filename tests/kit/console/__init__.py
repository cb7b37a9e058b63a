"""The console in a test: its application with real databases, and somebody who clicks."""
