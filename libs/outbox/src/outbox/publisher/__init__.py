"""Publishing rows of the outbox table to RabbitMQ, with confirms and `mandatory` on every event.

`publisher` is the port: a window of rows goes out, an outcome for each row comes back. `fast`
writes ready frames past the client library and counts the broker's answers (`frames`, `confirms`,
`aiormq_channel`); `plain` keeps the same promise on the library's public API, ten times slower.
`open` chooses between them and proves that an unroutable event comes back. Nothing here knows the
database or decides what an outcome means for a row.
"""
