"""`migrate.py <url> <ini>`: what one of several processes does that migrate at once."""

import sys
from pathlib import Path

from servicekit.database.migrations import upgrade
from servicekit.process.urls import PostgresUrl

upgrade(PostgresUrl(sys.argv[1]), Path(sys.argv[2]), variable="DATABASE_URL_TOYS")
