"""RabbitMQ as the library uses it, for relays and consumers alike.

`connection` opens and closes connections and tells a refusal from a loss; `lenient_decoding` keeps
a connection alive whatever a message holds. `topology` says what has to exist and `declarer`
declares it, so that a part that the broker refuses stops nothing else. `cloudevents` turns an event
into a message and back, `stream_reader` reads a stream queue. `queue_depths`, `management_api` and
`consumer_tags` answer operators' questions and change nothing.
"""
