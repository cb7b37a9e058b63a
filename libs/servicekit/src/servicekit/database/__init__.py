"""PostgreSQL as the services use it.

`engine` makes pools that survive a database that goes away and comes back; no wait for a lock and
no open transaction is without end. `migrations` runs Alembic under an advisory lock and refuses a
schema that is behind. `probe` asks for the health checks, `errors` says what a failure means for
the request, `dataloader` makes one statement of many reads, `id_allocation` draws ids in blocks.
"""
