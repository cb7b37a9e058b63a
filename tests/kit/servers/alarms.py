"""Making a broker suffer, for the length of a block."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from devstack.native.rabbitmq import RabbitMQ
from devstack.native.system import System


@contextmanager
def memory_alarm(rabbitmq: RabbitMQ) -> Iterator[None]:
    """The broker blocks all connections that publish."""
    rabbitmq.control("set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        rabbitmq.control("set_vm_memory_high_watermark", "0.4")


@contextmanager
def frozen(victim: System) -> Iterator[None]:
    """The broker's process stands still, its connections stay."""
    pid = victim.pid_of("rabbitmq")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def messages_up_to(size: int, rabbitmq: RabbitMQ) -> Iterator[None]:
    """New channels take no message over so many bytes."""
    rabbitmq.control("eval", f"application:set_env(rabbit, max_message_size, {size}).")
    try:
        yield
    finally:
        rabbitmq.control("eval", "application:set_env(rabbit, max_message_size, 134217728).")
