"""PostgreSQL as the services use it: the engine, migrations, errors, ids, reads that are gathered."""
