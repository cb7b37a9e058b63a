"""The operator's console: pages that show one or several services, and repair them.

`build_console` makes it, an ASGI application that runs alone (`outbox console`) or mounted into
another. It reads and changes by `outbox.operations` only, as the command does, and has no store of
its own. Every page needs a login, and every change needs the role operator; `access` asks before
any page is run. `pages` has one file for each page, `View` is what a page gets of a request. It
needs the extra `console`; the rest of the library imports nothing of it.
"""

from outbox.console.access.proxy import Proxy
from outbox.console.access.rules import Access
from outbox.console.access.users import User, Users
from outbox.console.app import build_console
from outbox.console.services import ConsoleService
from outbox.operations.roles import Role

__all__ = ["Access", "ConsoleService", "Proxy", "Role", "User", "Users", "build_console"]
