"""The skeleton that every service of this repository shares.

`domain.py` says what a domain gives to its service, `metadata.py` declares the tables that every
service has, and `bootstrap.py` builds what every process of a service stands on: the engine, units
of work, partitions, and the background services of a worker by role. `lifecycle.py`, `history.py`,
`rows.py` and `changes.py` are the pieces that domains with a status have in common. A service uses
what fits it; nothing here knows a domain.
"""
