"""Entry point; kept readable for any Python 3, so that an old one gets a sentence."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("devstack: this Python is too old; install Python 3.11 or newer")

from devstack.commands.parser import main

sys.exit(main(sys.argv[1:]))
