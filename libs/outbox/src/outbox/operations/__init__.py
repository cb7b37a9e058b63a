"""What a person does about an outbox and an inbox. The command `outbox` calls only this.

Each module is one operation: `status`, `controls` (pause, throttle, resume), `lanes`, `partitions`,
`reconcile`, `replay`, `timeline`, `parked_in_outbox` (redrive and discard what the broker refused),
`queue_migration`, `doctor`. All but `queue_migration` take psycopg connections from
`database.open_database`. They return dataclasses and print nothing. They may be called while
everything runs: a change keeps the order of every stream, and relays and consumers hear of it at
its commit. Parked events and the beginning of a new consumer have their operations in
`outbox.inbox.operations`, jobs in `outbox.jobs`.
"""
