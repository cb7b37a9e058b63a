"""Whatever a broker may lose: bindings, messages, queues, all of its data, or its last minutes."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aio_pika
import httpx
from aiormq.exceptions import ChannelNotFoundEntity

from devstack.native.rabbitmq import ADMIN, ADMIN_PASSWORD
from devstack.native.system import System
from kit.waiting import wait_until

_DONE_OR_NOT_THERE = (204, 404)


@dataclass(frozen=True)
class BrokerLosses:
    """Of the broker of one system, in its virtual host `/`."""

    system: System

    def unbind(self, exchange: str, queue: str, key: str) -> None:
        """Remove a binding, if it is there."""
        self._delete(f"bindings/%2F/e/{exchange}/q/{queue}/{quote(key, safe='')}")

    def purge(self, queue: str) -> None:
        """Remove the messages that are not delivered."""
        self._delete(f"queues/%2F/{queue}/contents")

    def delete(self, queue: str) -> None:
        """Remove a queue with all that is in it."""
        self._delete(f"queues/%2F/{queue}")

    async def messages(self, queue: str) -> int:
        """How many messages are not delivered; none if there is no such queue now."""
        async with await aio_pika.connect(self.system.admin_rabbitmq_url) as connection:
            channel = await connection.channel()
            with suppress(ChannelNotFoundEntity):
                found = await channel.declare_queue(queue, passive=True)
                return found.declaration_result.message_count or 0
        return 0

    async def delete_last(self, queue: str) -> bool:
        """Remove the last message of a queue; false if there is none."""
        async with await aio_pika.connect(self.system.admin_rabbitmq_url) as connection:
            channel = await connection.channel()
            found, last = await channel.declare_queue(queue, passive=True), None
            # Of those that are there now: a queue that grows meanwhile has no end.
            for _ in range(found.declaration_result.message_count or 0):
                last = await found.get(fail=False) or last  # the others go back with the channel
            if last:
                await last.ack()
        return last is not None

    def wipe(self) -> None:
        """Stop RabbitMQ, remove all its data, and start it."""
        self.system.stop_process("rabbitmq")
        shutil.rmtree(self._data)
        self.system.start_process("rabbitmq")

    def copy(self, folder: Path) -> None:
        """Stop RabbitMQ, copy all its data to a folder that is not there yet, and start it."""
        with self.system.without("rabbitmq"):
            shutil.copytree(self._data, folder)

    def restore(self, folder: Path) -> None:
        """Stop RabbitMQ, replace its data by a copy, and start it."""
        with self.system.without("rabbitmq"):
            shutil.rmtree(self._data)
            shutil.copytree(folder, self._data)

    @property
    def _data(self) -> Path:
        return self.system.layout.home / "rabbitmq" / "mnesia"

    def _delete(self, path: str) -> None:
        rabbitmq = self.system.infrastructure.rabbitmq
        assert rabbitmq is not None
        rabbitmq.wait_management()
        url = f"{rabbitmq.management_url}/api/{path}"
        # A broker that has just been started refuses until the queue has a leader.
        wait_until(lambda: _answer_to(url) in _DONE_OR_NOT_THERE, within=60)


def _answer_to(url: str) -> int:
    return httpx.delete(url, auth=(ADMIN, ADMIN_PASSWORD), timeout=30).status_code
