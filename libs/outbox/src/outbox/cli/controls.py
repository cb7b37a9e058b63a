"""`outbox pause`, `throttle` and `resume`: stop a queue, an event type or a relay for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from outbox.cli.options import Application, DatabaseUrl, Json
from outbox.cli.output import emit, say
from outbox.cli.running import FOUND, fail, operate
from outbox.cli.times import duration
from outbox.operations import Operator
from outbox.operations.controls import Control, OfQueue, OfRelay, Target

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A queue, or with --relay a relay's exchange.")
]
Relay = Annotated[bool, typer.Option("--relay", help="NAME is the exchange of a relay.")]
Type = Annotated[str | None, typer.Option("--type", help="Only this event type of the queue.")]
Why = Annotated[str, typer.Option("--why", help="A reason, for those who look at it later.")]
By = Annotated[
    str | None, typer.Option("--by", help="Who does it.", show_default="the user at this machine")
]
For = Annotated[
    float | None,
    typer.Option(
        "--for", parser=duration, metavar="TIME", help="It ends by itself after 90s, 30m, 2h."
    ),
]
Unknown = Annotated[
    bool, typer.Option("--unknown", help="The names need not be known to --app or the database.")
]


def pause(
    name: Name,
    *,
    database_url: DatabaseUrl,
    relay: Relay = False,
    type: Type = None,
    why: Why = "",
    by: By = None,
    lasts: For = None,
    app: Application = None,
    unknown: Unknown = False,
    as_json: Json = False,
) -> None:
    """Stop a queue, an event type or a relay, in all processes within a second.

    A paused queue receives and retries nothing. Events of a paused type are parked without an
    attempt, and go on in order afterwards. A paused relay publishes nothing.
    """
    target = _target(name, type, relay=relay)
    if not unknown:
        _check(database_url, target, app)
    _order(
        database_url,
        lambda operator: operator.controls.pause(target, why=why, seconds=lasts, unknown=True),
        by=by,
        as_json=as_json,
    )


def throttle(
    name: Name,
    rate: Annotated[float, typer.Argument(metavar="RATE", help="Events a second.")],
    *,
    database_url: DatabaseUrl,
    relay: Relay = False,
    why: Why = "",
    by: By = None,
    lasts: For = None,
    app: Application = None,
    unknown: Unknown = False,
    as_json: Json = False,
) -> None:
    """Let at most RATE events a second pass, in each process of a queue's consumer or a relay."""
    target = _target(name, None, relay=relay)
    if not unknown:
        _check(database_url, target, app)
    _order(
        database_url,
        lambda operator: operator.controls.throttle(
            target, rate, why=why, seconds=lasts, unknown=True
        ),
        by=by,
        as_json=as_json,
    )


def resume(
    name: Name,
    *,
    database_url: DatabaseUrl,
    relay: Relay = False,
    type: Type = None,
    as_json: Json = False,
) -> None:
    """End a pause or a throttle."""
    target = _target(name, type, relay=relay)
    resumed = operate(database_url, lambda operator: operator.controls.resume(target))
    if as_json:
        emit({"resumed": resumed})
    else:
        nothing = f"{name} was neither paused nor throttled"
        say(f"{name} goes on within a second" if resumed else nothing)
    if not resumed:
        raise typer.Exit(FOUND)


def _order(
    url: str, order: Callable[[Operator], Awaitable[None]], *, by: str | None, as_json: bool
) -> None:
    async def give(operator: Operator) -> Sequence[Control]:
        await order(operator)
        return await operator.controls.list()

    found = operate(url, give, by=by)
    if as_json:
        emit(found)
    else:
        say(*(f"{one.target}{one.type and f' {one.type}'} is {one}" for one in found))


def _target(name: str, type_: str | None, *, relay: bool) -> Target:
    if not relay:
        return OfQueue(name, type_ or "")
    if type_ is not None:
        fail("--type is for a queue: a relay publishes all types in order")
    return OfRelay(name)


def _check(url: str, target: Target, app: str | None) -> None:
    """Refuse a name that nothing knows: no process would obey it, and nobody would notice."""
    wrong = operate(url, lambda operator: operator.controls.unknown(target), app=app)
    if wrong is not None:
        others = "" if app else "--app knows the names of an application, "
        fail(f"{wrong}; {others}--unknown is for a name that is yet to come")
