"""The garbage of an attempt to connect."""

from __future__ import annotations

import asyncio
import gc

from yarl import URL

from outbox.rabbitmq.lenient_decoding import Connection


def test_a_connection_that_is_collected_while_no_loop_runs_leaves_nothing_unawaited() -> None:
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(_made())
    asyncio.set_event_loop(None)  # as `asyncio.run` leaves it
    del connection
    gc.collect()  # what is left unawaited would be a warning, and so an error of this test
    loop.close()


async def _made() -> Connection:
    return Connection(URL("amqp://nobody@127.0.0.1:1/"))
