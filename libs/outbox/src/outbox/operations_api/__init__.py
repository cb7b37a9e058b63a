"""The HTTP operations: an operator's verbs, for programs.

`build_operations_app` makes a FastAPI application that is mounted into another one, as servicekit
mounts it at `/ops/v1` on the ports of the workers. A caller has a bearer token (`Tokens`) with a
role: a viewer reads and previews, an operator changes too. The endpoints are in
modules that are named like what they are about; they call `outbox.operations.Operator`. It needs
the extra `http`.
"""

from outbox.operations_api.access import OperatedService
from outbox.operations_api.app import build_operations_app
from outbox.operations_api.tokens import Tokens

__all__ = ["OperatedService", "Tokens", "build_operations_app"]
