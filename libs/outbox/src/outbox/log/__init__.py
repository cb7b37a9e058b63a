"""The outbox table: adding events to it, and all SQL on it.

`outbox` adds events in the caller's own transaction, `work` and `unit_of_work` begin transactions
and emit in them, `guard` keeps other code from ending them. `event_checks` refuses an event that
could never be delivered, before PostgreSQL sees it. Three modules hold all SQL on `outbox`,
`outbox_streams` and `outbox_scheduled`: `statements` adds, `relay_queries` reads and marks for the
relay, `operator_queries` serves operators. Nothing here talks to the broker: a transaction that
commits has its events in the table, and the relay does the rest.
"""
