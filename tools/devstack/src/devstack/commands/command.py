"""One command line: the stack it acts on, and the choice that a start keeps for later commands."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from devstack.commands import stack_choice
from devstack.docker.stack import Docker
from devstack.host import layout
from devstack.host.console import say
from devstack.host.errors import Trouble
from devstack.native import services
from devstack.native.services import SERVICES, Service
from devstack.native.stack import Native


@dataclass(frozen=True)
class Command:
    """One command line, with everything that a command needs."""

    options: argparse.Namespace
    layout: layout.Layout
    env: Mapping[str, str]

    @property
    def native(self) -> Native:
        return Native(self.layout, self.env)

    @property
    def docker(self) -> Docker:
        return Docker(self.layout, self.env)

    def stack(self) -> Native | Docker:
        """The stack that runs, or ran last."""
        return self._of(stack_choice.for_running(self.layout, self.env))

    def running_stack(self) -> Native | Docker:
        stack = self.stack()
        if not stack.is_running():
            raise Trouble("the system does not run: make start")
        return stack

    def _of(self, name: str) -> Native | Docker:
        return self.docker if name == stack_choice.DOCKER else self.native

    def stack_to_start(self) -> Native | Docker:
        chosen = stack_choice.for_start(self.layout, self.env, self.docker)
        self._refuse_both(chosen.stack)
        if chosen.stack == stack_choice.DOCKER and (lack := self.docker.lack()):
            raise Trouble(
                f"Docker cannot be used: {lack}; put that right, or STACK=native make start"
            )
        say(f"{chosen.stack} stack ({chosen.why})")
        return self._of(chosen.stack)

    def starting(self, action: Callable[[Native | Docker], None]) -> int:
        """Keep the choice for later commands; forget it when a first start fails."""
        before = stack_choice.kept(self.layout)
        stack = self.stack_to_start()
        stack_choice.keep(
            self.layout, stack_choice.DOCKER if isinstance(stack, Docker) else stack_choice.NATIVE
        )
        try:
            action(stack)
        except BaseException:
            if before is None and stack.has_ended():
                stack_choice.forget(self.layout)
            raise
        return 0

    def _refuse_both(self, stack: str) -> None:
        before = stack_choice.kept(self.layout)
        if before and before != stack and self._of(before).is_running():
            raise Trouble(
                f"the {before} stack is running: STACK={before} make stop first", status=2
            )

    def service(self) -> Service:
        found = services.named(self.options.service or "")
        if found is None:
            names = " or ".join(service.name for service in SERVICES)
            raise Trouble(f"say which service: SERVICE={names}", status=2)
        return found
