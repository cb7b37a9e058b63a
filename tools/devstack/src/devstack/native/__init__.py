"""The system as processes on this machine: servers, services, and supervisor over them."""
