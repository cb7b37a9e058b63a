"""Databases, virtual hosts and a Redis of a test's own, and ways to make a server suffer."""
