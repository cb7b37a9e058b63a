"""What every FastAPI service here needs, and nothing of any domain.

Each module stands for one concern and is imported by its name:
`settings` and `process` start a service, `server` listens, `app`, `problems`, `requests` and
`types` shape HTTP, `pagination` cuts lists into pages, `idempotency` (with `idempotency_keys` and
`idempotency_upkeep`) lets a request take effect once, `waiting` answers `?wait=`, `database` and
`migrations` speak to PostgreSQL, `health`, `broker`, `metrics`, `logs` and `trace` let it be
watched. Importing any of them connects to nothing.
"""
