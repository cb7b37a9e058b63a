"""How a process ends: a startup problem is one line, and signals are obeyed."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NoReturn

import uvloop

from servicekit.process.startup_errors import StartupProblem

__all__ = ["run", "stop_on_signals"]

EXIT_STARTUP_PROBLEM = 2
EXIT_INTERRUPTED = 130


def run(
    service: str,
    main: Callable[[], Awaitable[None]],
    *,
    refusals: tuple[type[Exception], ...] = (),
) -> NoReturn:
    """Run `main` on uvloop and exit: 0, or 2 with `service: what is wrong` on stderr.

    `refusals` are further errors whose message is that one line. Any other error of `main` is a
    bug: it gets its traceback and status 1.
    """

    one_line: tuple[type[Exception], ...] = (StartupProblem, *refusals)

    async def guarded() -> None:
        await main()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(guarded())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except one_line as problem:
        _leave(service, [problem])
    except BaseExceptionGroup as group:
        problems, others = group.split(one_line)
        if problems is None or others is not None:
            raise
        _leave(service, _leaves(problems))
    sys.exit(0)


def _leave(service: str, problems: Iterable[BaseException]) -> NoReturn:
    for problem in problems:
        print(f"{service}: {' '.join(str(problem).split())}", file=sys.stderr)  # noqa: T201
    sys.exit(EXIT_STARTUP_PROBLEM)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for problem in group.exceptions:
        if isinstance(problem, BaseExceptionGroup):
            yield from _leaves(problem)
        else:
            yield problem


def stop_on_signals() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; the second one ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def received() -> None:
        if stop.is_set():
            os._exit(1)  # nothing is lost: unfinished work is not acknowledged
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received)
    return stop
