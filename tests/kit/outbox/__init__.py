"""A small world for the library: one source, one queue, on real PostgreSQL and RabbitMQ."""
