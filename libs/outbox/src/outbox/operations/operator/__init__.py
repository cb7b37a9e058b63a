"""What an operator asks and changes, as one object with a group for each kind of thing.

`open_operator` opens it for an `Actor`. A change of events or jobs has a preview, and is refused if
what was seen has changed. Every change is a row of `outbox_operations_log`. `record` writes these
rows; each other module is one group of verbs.
"""

from outbox.operations.operator.operator import Operator, open_operator
from outbox.operations.operator.record import Actor

__all__ = ["Actor", "Operator", "open_operator"]
