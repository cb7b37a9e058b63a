"""The HTTP operations: an operator's verbs, for programs.

`app.build_operations_app` makes a FastAPI application that is mounted into another one, as
servicekit mounts it at `/ops/v1` on the ports of the workers. A caller has a bearer token
(`tokens`) with a role: a viewer reads and previews, an operator changes too. The endpoints are in
modules that are named like what they are about; they call `outbox.operations.Operator`. It needs
the extra `http`.
"""
