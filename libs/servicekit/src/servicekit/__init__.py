"""What every FastAPI service here needs, and nothing of any domain.

Each module stands for one concern and is imported by its name:
`settings` and `process` start a service, `server` listens, `app`, `problems`, `requests` and
`types` shape HTTP, `waiting` answers `?wait=`, `database` and `migrations` speak to PostgreSQL,
`health`, `broker`, `metrics`, `logs` and `trace` let it be watched. Importing any of them connects
to nothing.
"""
