"""Neighbouring statements that only add events are one."""

from __future__ import annotations

import pytest

from kit.outbox.world import SOURCE, Happened
from outbox import Outbox
from outbox.log.merging import Statement, merged
from outbox.log.statements import ROW, ROWS, in_schema

OTHER: Statement = ("WITH cooked AS (INSERT INTO meals VALUES (1)) SELECT 1", {})


def adding(*names: str) -> Statement:
    tail, parameters = Outbox(SOURCE).rows(*map(Happened, names))
    return f"WITH {tail} SELECT 1", parameters


def test_events_keep_their_order_and_what_is_their_own() -> None:
    first, second = adding("a"), adding("b", "a")
    [(statement, parameters)] = merged([first, second])
    assert statement == f"WITH {ROWS} SELECT 1"
    assert parameters["outbox_source"] == SOURCE
    assert parameters["outbox_aggregate_id"] == ["a", "b", "a"]
    assert parameters["outbox_event_id"] == [
        first[1]["outbox_event_id"],
        *second[1]["outbox_event_id"],
    ]
    assert {len(value) for value in parameters.values() if isinstance(value, list)} == {3}


def test_another_statement_stays_between_its_neighbours() -> None:
    one, two = adding("a"), adding("b")
    assert merged([one, OTHER, two]) == [one, OTHER, two]
    assert merged([OTHER, OTHER]) == [OTHER, OTHER]


def test_a_statement_that_also_writes_rows_stays_as_it_is() -> None:
    tail, parameters = Outbox(SOURCE).rows(Happened("a"))
    writes = (f"WITH placed AS (INSERT INTO orders VALUES (1)), {tail} SELECT 1", parameters)
    assert merged([writes, writes]) == [writes, writes]


@pytest.mark.parametrize("schema", ["shop", 'my "best" % shop'])
def test_events_stay_in_the_schema_of_their_outbox(schema: str) -> None:
    _, parameters = adding("a")
    one = (f"WITH {in_schema(schema, ROW)} SELECT 1", parameters)
    [(statement, _)] = merged([one, one])
    assert statement == f"WITH {in_schema(schema, ROWS)} SELECT 1"
