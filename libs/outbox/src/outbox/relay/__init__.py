"""The relay publishes the outbox table to RabbitMQ, in order within each aggregate.

Any number of relays share the lanes; each lane has one owner at a time. A relay reads a window,
writes it to the broker, waits for the confirms and marks the rows, with no transaction open
meanwhile. A row is marked only after the broker has confirmed it and a queue took it, so an event
is published at least once. An event that fails keeps the later ones of its aggregate waiting and
no others. On a lost connection the relay forgets everything and starts again from the table.
"""
