"""A `docker` that is a short script: it keeps what runs in a file, and every call in another."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """#!{python} -IS
import json, os, signal, sys
from pathlib import Path

folder = Path(__file__).parent
words = sys.argv[1:]
values = {{"-p": "", "-f": "", "--ansi": ""}}
while len(words) > 1 and words[0] in ("compose", *values):
    first = words.pop(0)
    if first in values:
        values[first] = words.pop(0)
with (folder / "calls").open("a") as out:
    out.write(json.dumps([values["-p"], words, dict(os.environ)]) + "\\n")
runs, what = folder / ("runs-" + values["-p"]), words[0]
if what in ("up", "run"):
    runs.touch()
if what in json.loads((folder / "interrupted").read_text()):
    os.kill(os.getppid(), signal.SIGINT)
    sys.exit(130)
if {{what, *words}} & set(json.loads((folder / "failing").read_text())):
    sys.exit(1)
if what == "down":
    runs.unlink(missing_ok=True)
if what == "ps" and runs.exists():
    print("c0ffee")
if what == "port" and runs.exists():
    print("127.0.0.1:" + str(20000 + int(words[2]) % 1000))
if what == "exec":
    answers = json.loads((folder / "answers").read_text())
    said = answers.get(" ".join(word for word in words[1:] if word != "-T"))
    print(said or "")
if what == "config":
    print('{{"services": {{"postgres": {{}}, "rabbitmq": {{}}}}}}')
"""


@dataclass(frozen=True)
class Call:
    project: str
    words: list[str]
    env: Mapping[str, str]


@dataclass(frozen=True)
class FakeDocker:
    """Calls with some word may `fail`, verbs may meet Ctrl-C; `answer` is what `exec` prints."""

    folder: Path

    def install(self) -> None:
        self.fail()
        self.interrupt()
        self.answer({})
        script = self.folder / "docker"
        script.write_text(_SCRIPT.format(python=sys.executable))
        script.chmod(0o755)

    def fail(self, *words: str) -> None:
        (self.folder / "failing").write_text(json.dumps(words))

    def interrupt(self, *verbs: str) -> None:
        (self.folder / "interrupted").write_text(json.dumps(verbs))

    def answer(self, answers: Mapping[str, str]) -> None:
        (self.folder / "answers").write_text(json.dumps(answers))

    @property
    def calls(self) -> list[Call]:
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [Call(*json.loads(line)) for line in lines]

    def last(self, verb: str) -> Call:
        return next(call for call in reversed(self.calls) if call.words[0] == verb)

    @property
    def running(self) -> list[str]:
        """The projects that have containers."""
        return sorted(file.name[len("runs-") :] for file in self.folder.glob("runs-*"))


def free_http_ports() -> dict[str, str]:
    """For the two ports that never step aside."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    numbers = [str(server.getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
    return dict(zip(("ORDERS_PORT", "PROCESSOR_PORT"), numbers, strict=True))
