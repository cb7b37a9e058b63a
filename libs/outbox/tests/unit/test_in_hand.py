"""A suspect is in hand alone: whoever dies then is guilty."""

from __future__ import annotations

import asyncio

from outbox.inbox.redelivered import InHand


class Handlers:
    """Begin, and end when they may; `running` are those that have begun."""

    def __init__(self) -> None:
        self.in_hand = InHand()
        self.running: list[str] = []
        self.may_end = {name: asyncio.Event() for name in ("a", "b", "c", "suspect", "other")}

    def start(self, name: str, *, alone: bool = False) -> asyncio.Task[None]:
        return asyncio.create_task(self._run(name, alone))

    async def _run(self, name: str, alone: bool) -> None:
        async with self.in_hand.alone() if alone else self.in_hand.beside_others():
            self.running.append(name)
            await self.may_end[name].wait()
            self.running.remove(name)


async def all_have_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_suspect_waits_for_what_is_in_hand_and_what_comes_later_waits_for_it() -> None:
    handlers = Handlers()
    tasks = [handlers.start("a"), handlers.start("b")]
    await all_have_run()
    tasks += [handlers.start("suspect", alone=True), handlers.start("other", alone=True)]
    await all_have_run()
    tasks += [handlers.start("c")]
    seen = []
    for name in ("a", "b", "suspect", "other", "c"):
        await all_have_run()
        seen.append(list(handlers.running))
        handlers.may_end[name].set()
    await asyncio.gather(*tasks)
    assert seen == [["a", "b"], ["b"], ["suspect"], ["other"], ["c"]]


async def test_a_suspect_that_is_cancelled_lets_others_begin() -> None:
    handlers = Handlers()
    suspect = handlers.start("suspect", alone=True)
    await all_have_run()
    later = handlers.start("a")
    await all_have_run()
    assert handlers.running == ["suspect"]
    suspect.cancel()
    handlers.running.clear()
    await all_have_run()
    assert handlers.running == ["a"]
    handlers.may_end["a"].set()
    await later
