"""PostgreSQL as the services use it: engine, migrations, errors, ids, gathered reads."""
