"""The commands behind the Makefile: `python3 -m devstack COMMAND`."""

import argparse
import signal
from collections.abc import Callable
from types import FrameType

from devstack.commands import (
    clean,
    demo,
    dev,
    doctor,
    domain,
    library_versions,
    migration,
    outbox_command,
    servers,
    tests,
)
from devstack.commands.command import Command
from devstack.commands.domain_names import DomainNames
from devstack.docker import passwords
from devstack.docker.stack import Docker
from devstack.host import environment, layout
from devstack.host.console import complain, say
from devstack.host.errors import Trouble
from devstack.native import services
from devstack.native.services import SERVICES
from devstack.native.stack import Native


def start(command: Command) -> int:
    return command.starting(lambda stack: stack.start())


def stop(command: Command) -> int:
    command.stack().stop()
    return 0


def restart(command: Command) -> int:
    return command.starting(lambda stack: stack.restart())


def rebuild(command: Command) -> int:
    return command.starting(lambda stack: stack.rebuild())


def status(command: Command) -> int:
    return command.stack().status()


def logs(command: Command) -> int:
    command.stack().logs(command.options.service)
    return 0


def migrate(command: Command) -> int:
    chosen = [command.service()] if command.options.service else list(SERVICES)
    command.stack().migrate(chosen)
    return 0


def write_migration(command: Command) -> int:
    service = command.service()
    venv(command)
    migration.run(command.layout, service, command.options.message)
    return 0


def write_domain(command: Command) -> int:
    options = command.options
    names = DomainNames.of(options.name, options.sides, options.singular, options.replies)
    venv(command)
    domain.run(command.layout, names)
    return 0


def seed(command: Command) -> int:
    if command.env.get("APP_ENV") == "production":
        raise Trouble("demo restaurants are not for APP_ENV=production; none was put in", status=2)
    command.stack().run_once(services.PROCESSOR, "seed")
    return 0


def republish(command: Command) -> int:
    command.stack().run_once(services.PROCESSOR, "republish-restaurants")
    return 0


def audit(command: Command) -> int:
    begin = command.env.get("FROM") or "first"
    command.running_stack().run_once(services.PROCESSOR, "replay-audit", "--from", begin)
    return 0


def operate(command: Command) -> int:
    return outbox_command.run(command.running_stack(), command.service(), command.options.args)


def develop(command: Command) -> int:
    return command.starting(_develop)


def _develop(stack: Native | Docker) -> None:
    if isinstance(stack, Docker):
        raise Trouble(
            "make dev watches native processes: make stop, then STACK=native make dev", status=2
        )
    dev.run(stack)


def show(command: Command) -> int:
    demo.run(*demo.addresses(command.running_stack()))
    return 0


def test(command: Command) -> int:
    return tests.run(command.layout, command.env, command.options.part, command.options.args)


def test_versions(command: Command) -> int:
    options = command.options
    return library_versions.run(command.layout, command.env, options.python, whole=options.whole)


def keep_servers(command: Command) -> int:
    if command.options.stop:
        servers.stop(command.layout)
    else:
        servers.start(command.layout)
    return 0


def venv(command: Command) -> int:
    command.layout.prepare()
    command.native.venv.ensure()
    return 0


def make_secrets(command: Command) -> int:
    place = passwords.make(command.layout.checkout, command.env)
    say(f"{place} holds passwords of its own; it counts for {passwords.VARIABLE}={place}")
    return 0


def remove(command: Command) -> int:
    clean.run(command.layout, command.env)
    return 0


def diagnose(command: Command) -> int:
    return doctor.run(command.layout, command.env)


Action = Callable[[Command], int]
COMMANDS: dict[str, Action] = {
    "start": start,
    "stop": stop,
    "restart": restart,
    "rebuild": rebuild,
    "status": status,
    "logs": logs,
    "migrate": migrate,
    "migration": write_migration,
    "domain": write_domain,
    "seed": seed,
    "republish-restaurants": republish,
    "audit": audit,
    "outbox": operate,
    "dev": develop,
    "demo": show,
    "test": test,
    "servers": keep_servers,
    "test-versions": test_versions,
    "venv": venv,
    "secrets": make_secrets,
    "clean": remove,
    "doctor": diagnose,
}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="devstack", description="See make help.")
    sub = top.add_subparsers(dest="command", required=True)
    parsers = {name: sub.add_parser(name) for name in COMMANDS}
    for name in ("logs", "migrate", "migration", "outbox"):
        parsers[name].add_argument("--service", default="")
    parsers["migration"].add_argument("--message", default="")
    for option in ("--name", "--sides", "--singular", "--replies"):
        parsers["domain"].add_argument(option, default="")
    parsers["test"].add_argument("--part", choices=list(tests.PARTS), default="all")
    for name in ("test", "outbox"):
        parsers[name].add_argument("--args", default="")
    parsers["test-versions"].add_argument("--python", default="")
    parsers["test-versions"].add_argument("--whole", action="store_true")
    parsers["servers"].add_argument("--stop", action="store_true")
    return top


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP end a command as Ctrl-C does, after it has cleaned up."""
    del frame
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        where = layout.of()
        command = Command(options, where, environment.read(where.checkout))
        return COMMANDS[options.command](command)
    except Trouble as trouble:
        complain(str(trouble))
        return trouble.status
    except KeyboardInterrupt:
        complain("interrupted; everything this command started has ended")
        return 130
    except BrokenPipeError:
        return 141
