"""The system as processes on this machine: servers and services, under a supervisor.

`stack` is what `make start` does, `system` is one whole system as an object, also for tests. One
module knows how to configure and start one program: PostgreSQL, RabbitMQ, Redis, the services, the
stand-ins. Everything of a system lies in one folder, and `stop` ends whatever belongs to a folder.
"""
