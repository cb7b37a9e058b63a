"""Everything that a FastAPI service here needs, and nothing of any domain.

It stands on the outbox library: connections, reconnecting, LISTEN, error codes and trace headers
are the library's. `http` holds for every endpoint, `database` speaks to PostgreSQL, `observe` says
what a process does, `process` starts and stops one, `cache` keeps answers that may be a little old,
`service` puts a service together. Importing any module connects to nothing. Nothing here knows a
domain, an event class or a table of a service.
"""
