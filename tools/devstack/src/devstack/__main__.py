"""The entry point. Any Python 3 can read it, so an old one gets a sentence and no traceback."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("devstack: this Python is too old; install Python 3.11 or newer")

from devstack.commands.parser import main

sys.exit(main(sys.argv[1:]))
