"""`make dev` shows the logs of the native system and restarts a service when its code changes."""

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from devstack.host.console import complain, say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native import migrations, operator_console
from devstack.native.readiness import Watch
from devstack.native.services import ROLES, SERVICES, Service, program_name
from devstack.native.stack import Native
from devstack.native.state import State
from devstack.native.supervisor import Supervisor

LOOK_EVERY = 0.5  # seconds

Seen = dict[Path, int]


def look(checkout: Path) -> Seen:
    """Every Python file of libraries and services with its time of change."""
    folders = [
        *checkout.glob("libs/*/src"),
        *checkout.glob("service-*/src"),
        *checkout.glob("service-*/migrations"),
    ]
    found = (file for folder in folders for file in folder.rglob("*.py"))
    seen: Seen = {}
    for file in found:
        try:
            seen[file] = file.stat().st_mtime_ns
        except FileNotFoundError:  # an editor replaced it just now
            continue
    return seen


def changed(before: Seen, after: Seen) -> set[Path]:
    return {file for file in before.keys() | after.keys() if before.get(file) != after.get(file)}


def touched(files: Iterable[Path], checkout: Path) -> list[Service]:
    """The services that use these files; a library's files are used by all."""
    tops = {file.relative_to(checkout).parts[0] for file in files}
    return [service for service in SERVICES if "libs" in tops or service.folder in tops]


def run(native: Native) -> None:
    native.start()
    layout = native.layout
    logs = sorted(str(layout.log_of(program_name(s, role))) for s in SERVICES for role in ROLES)
    follower = subprocess.Popen(["tail", "-q", "-n", "0", "-F", *logs])
    say("watching the code; Ctrl-C ends the watch, the system runs on (make stop ends it)")
    try:
        _watch(layout)
    except KeyboardInterrupt:
        say("no longer watching; the system runs on")
    finally:
        follower.terminate()
        follower.wait()


def _watch(layout: Layout) -> None:
    seen = look(layout.checkout)
    while True:
        time.sleep(LOOK_EVERY)
        now = look(layout.checkout)
        if files := changed(seen, now):
            seen = now
            for service in touched(files, layout.checkout):
                _restart(layout, service)
            if any(file.is_relative_to(layout.checkout / "libs") for file in files):
                _restart_console(Supervisor(layout))


def _restart(layout: Layout, service: Service) -> None:
    """Migrate and restart. Code that does not start is reported, and watching goes on."""
    say(f"{service.folder} changed: restarting it")
    names = [program_name(service, role) for role in ROLES]
    supervisor, state = Supervisor(layout), State.read(layout)
    if state is None or not supervisor.answers():
        raise Trouble("the system does not run any more: make dev")
    try:
        supervisor.stop_and_wait(names, 20)
        migrations.run(layout, state.environment, [service])
        watch = Watch(layout, supervisor)
        watch.start(names)
        keys = (service.name, f"{service.name}-worker")
        watch.until_ready(dict(zip(names, (state.urls[key] for key in keys), strict=True)), 30)
    except Trouble as trouble:
        complain(str(trouble))
    else:
        say(f"{service.folder} is ready again")


def _restart_console(supervisor: Supervisor) -> None:
    if operator_console.NAME in supervisor.states():
        supervisor.stop_and_wait([operator_console.NAME], 20)
        supervisor.start(operator_console.NAME)
