"""What holds for every endpoint, so that a domain writes only what is particular to it.

`app.create_app` puts the layers, the routes and the documents together. Every refusal is an RFC
9457 problem with a stable code. JSON is read exactly: decimals stay decimals, two members of one
name are refused. A POST or PATCH with an `Idempotency-Key` takes effect once. Lists are cut by
keyset, and `?wait=` sleeps until a notification comes. `client` is the other direction: calls to
external systems, bounded in time.
"""
