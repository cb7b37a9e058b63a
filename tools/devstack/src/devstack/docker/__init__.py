"""The same system by Docker Compose."""
