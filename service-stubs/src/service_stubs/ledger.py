"""The payment provider's ledger: every movement of money, once per idempotency key.

It is one SQLite file, so a restart loses nothing. Invariant: a key has one answer for ever, because
the movement and its key are one row. See decision 1301.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_TABLE = """
CREATE TABLE IF NOT EXISTS movements (
  number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, step TEXT NOT NULL, user_id TEXT NOT NULL,
  order_id TEXT NOT NULL, amount INTEGER NOT NULL, status TEXT NOT NULL, at TEXT NOT NULL,
  asked INTEGER NOT NULL DEFAULT 1)
"""
_COLUMNS = "key, step, user_id, order_id, amount, status, at, asked"


class KeyReused(ValueError):
    """The key stands for another movement."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The Idempotency-Key {key} was used for another movement.")


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of the ledger. `asked` counts the calls with its key."""

    key: str
    step: str
    user_id: str
    order_id: str
    amount: int
    status: str
    at: str
    asked: int = 1

    @property
    def answer(self) -> dict[str, Any]:
        """The provider's answer, the same for every call."""
        return {"order_id": self.order_id, "amount": self.amount, "status": self.status}


class Ledger:
    """Opens the file of the ledger, or creates it; `:memory:` uses no file."""

    def __init__(self, path: Path | str) -> None:
        if isinstance(path, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._books = sqlite3.connect(path, isolation_level=None)
        self._books.execute("PRAGMA journal_mode = WAL")
        self._books.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing
        self._books.execute(_TABLE)

    def record(
        self, key: str, step: str, *, user_id: str, order_id: str, amount: int, status: str
    ) -> Movement:
        """Record a movement unless the key is known; return the recorded one.

        Raises `KeyReused` for a key of another movement.
        """
        found = self._find(key)
        wanted = (step, user_id, order_id, amount)
        if found is None:
            row = (key, *wanted, status, datetime.now(UTC).isoformat())
            self._books.execute(
                "INSERT INTO movements (key, step, user_id, order_id, amount, status, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            return Movement(*row)
        if wanted != (found.step, found.user_id, found.order_id, found.amount):
            raise KeyReused(key)
        self._books.execute("UPDATE movements SET asked = asked + 1 WHERE key = ?", (key,))
        return found

    def of_orders(self, order_ids: Sequence[str] = ()) -> list[Movement]:
        """All movements, or those of some orders, in the order of their recording."""
        ids = json.dumps(list(order_ids))
        rows = self._books.execute(
            f"SELECT {_COLUMNS} FROM movements"  # noqa: S608 a constant
            " WHERE ? = '[]' OR order_id IN (SELECT value FROM json_each(?)) ORDER BY number",
            (ids, ids),
        )
        return [Movement(*row) for row in rows]

    def view(self, order_ids: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The same as JSON."""
        return [asdict(movement) for movement in self.of_orders(order_ids)]

    def close(self) -> None:
        self._books.close()

    def _find(self, key: str) -> Movement | None:
        query = f"SELECT {_COLUMNS} FROM movements WHERE key = ?"  # noqa: S608 a constant
        row = self._books.execute(query, (key,)).fetchone()
        return None if row is None else Movement(*row)
