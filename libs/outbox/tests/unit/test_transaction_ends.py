"""Statements that end a transaction, told from those that only speak of it."""

from __future__ import annotations

import pytest

from outbox.log.transaction_ends import (
    about_savepoint,
    ends_transaction,
    is_about_transaction,
)


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "  commit and chain",
        "Rollback",
        "ROLLBACK WORK",
        "ROLLBACK AND CHAIN",
        "END",
        "abort;",
        "PREPARE TRANSACTION 'x'",
        "-- a word\nCOMMIT",
        "/* two\nlines */COMMIT",
        "SELECT 1; COMMIT",
        "SELECT ';'; COMMIT; SELECT 2",
        "COMMIT;" + " " * 5000,
    ],
)
def test_these_end_it(statement: str) -> None:
    assert ends_transaction(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "ROLLBACK TO SAVEPOINT s",
        "rollback work to s",
        "RELEASE s",
        "SAVEPOINT commit",
        "SELECT 'x; COMMIT'",
        'SELECT "a; COMMIT" FROM t',
        "SELECT 1 -- ; COMMIT",
        "SELECT 1 /* ; COMMIT */",
        "SELECT $body$ ; COMMIT $body$",
        "SELECT CASE WHEN true THEN 1 END",
        "INSERT INTO commits VALUES (1)",
        "COMMITTED",
        "PREPARE plan AS SELECT 1",
        "",
    ],
)
def test_these_do_not(statement: str) -> None:
    assert not ends_transaction(statement)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("SAVEPOINT s", "set"),
        ("/* app */ release s", "set"),
        ("ROLLBACK TO s", "to"),
        ("rollback transaction to savepoint s", "to"),
        ("ROLLBACK", None),
        ("SELECT 'SAVEPOINT'", None),
    ],
)
def test_savepoints_are_known(statement: str, told: str | None) -> None:
    assert about_savepoint(statement) == told


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "SAVEPOINT s",
        "ROLLBACK TO s",
        "set local lock_timeout = '1s'",
        "RESET ALL",
        "SELECT 1; SET ROLE nobody",
        "WITH one AS (SELECT set_config('a.b', 'c', true)) SELECT 1",
        "SET TRANSACTION READ ONLY" + " " * 5000,
    ],
)
def test_these_are_about_the_transaction_itself(statement: str) -> None:
    assert is_about_transaction(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE settings SET value = 1",
        "INSERT INTO set_config VALUES ('set_config(')",
        "DELETE FROM t WHERE x = 'SAVEPOINT'",
        "INSERT INTO t VALUES (1)" + " " * 5000,
    ],
)
def test_these_are_not(statement: str) -> None:
    assert not is_about_transaction(statement)
