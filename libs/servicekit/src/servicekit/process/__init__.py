"""How a process begins, works and ends.

`settings` reads environment variables once and refuses what is wrong in one line. `runtime` checks
the port, the database, the schema and the broker's credentials before anything is built. `server`
answers HTTP until SIGTERM, then finishes what is in flight within a bounded time. `parent` runs
several such processes on one port. `entrypoint` turns a startup problem into one line and a status.
`production` refuses weak secrets.
"""
