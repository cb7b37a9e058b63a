"""What a person does about an outbox and an inbox.

`Operator`, opened by `open_operator` for an `Actor`, is all of it as one object: it says before a
change what it would move, and writes every change down. The command `outbox` calls only this.
Beneath it each module is one operation on a psycopg connection from `database.open_database`:
`status`, `controls` (pause, throttle, resume), `lanes`, `partitions`, `reconcile`, `replay`,
`journey`, `unpublished` (redrive and discard what cannot be published), `queue_migration`,
`doctor`. They return dataclasses and print nothing. They may be called while everything runs: a
change keeps the order of every stream, and relays and consumers hear of it at its commit.
"""

from outbox.operations.operator import Actor, Operator, open_operator

__all__ = ["Actor", "Operator", "open_operator"]
