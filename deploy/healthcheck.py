"""Is the process of this container ready? `healthcheck.py PORT` exits with 0 or 1.

It asks the container itself, and no proxy, whatever the environment says.
"""

import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT = 4.0


def main(port: int) -> int:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        print(answer.status, answer.read(2000).decode(errors="replace"))  # noqa: T201
    except (OSError, HTTPException) as problem:
        print(f"no answer on port {port}: {problem}")  # noqa: T201
        return 1
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
