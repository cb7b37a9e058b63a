"""The relay publishes committed events; the kitchen consumes them from the queue.

Run as many workers as you like.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from events import EXCHANGE, KITCHEN_ORDERS, QUEUE, TOPOLOGY, OrderPlaced
from outbox import Handlers, UnitOfWork, build_worker, open_work
from tables import DATABASE_URL, SQLALCHEMY_URL, Meal, outbox

on = Handlers(KITCHEN_ORDERS, OrderPlaced)


@on(OrderPlaced)
async def cook(unit: UnitOfWork, order: OrderPlaced) -> None:
    """The effect and the position are one commit, so each order is cooked once."""
    await unit.connection.execute(insert(Meal).values(order_id=order.order_id, meal=order.meal))
    print(f"cooked {order.meal} for order {order.order_id}", flush=True)


async def main() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_work(create_async_engine(SQLALCHEMY_URL), DATABASE_URL, outbox) as work:
        services = build_worker(
            database_url=DATABASE_URL,
            broker_url=os.environ["RABBITMQ_URL"],
            exchange=EXCHANGE,
            topology=TOPOLOGY,
            work=work,
            queues={QUEUE: on},
        )
        async with asyncio.TaskGroup() as group:
            for service in services.values():
                group.create_task(service.run(stop))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
