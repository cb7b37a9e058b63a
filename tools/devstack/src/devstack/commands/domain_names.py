"""The names of a new domain: checked, and in every form that its files need."""

import keyword
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

from devstack.host.errors import Trouble
from devstack.native import services
from devstack.native.services import SERVICES, Service

LONGEST = 24  # characters of a name, so that the lines of the templates stay short
_NAME = re.compile(r"[a-z]+(_[a-z]+)*")
_USAGE = "make domain NAME=parcels SIDES=orders,processor REPLIES=yes"


@dataclass(frozen=True)
class DomainNames:
    """`plural` names the folder, `singular` the aggregate. The producer emits its events.

    With `replies` the consumer answers by events of its own.
    """

    plural: str
    singular: str
    producer: Service
    consumer: Service | None = None
    _: KW_ONLY
    replies: bool = False

    @classmethod
    def of(cls, name: str, sides: str, singular: str = "", replies: str = "") -> "DomainNames":
        """What was typed. Trouble for a name that cannot be one."""
        if not name or not sides:
            raise Trouble(f"say its name and its services, the sender first: {_USAGE}", status=2)
        singular = singular or _singular_of(name)
        for word in (name, singular):
            if not _NAME.fullmatch(word) or keyword.iskeyword(word) or len(word) > LONGEST:
                raise Trouble(
                    f"{word} cannot be a name: lower-case words with _ between them, at most"
                    f" {LONGEST} characters",
                    status=2,
                )
        if singular == name:
            raise Trouble(f"{name} has to be a plural: say SINGULAR= and another NAME=", status=2)
        producer, *consumers = _sides(sides)
        to_and_fro = (producer, *consumers) == (services.ORDERS, services.PROCESSOR)
        if replies and not (replies == "yes" and to_and_fro):
            raise Trouble(
                f"REPLIES={replies}: yes, and only with SIDES=orders,processor, or leave it out",
                status=2,
            )
        return cls(name, singular, producer, *consumers, replies=bool(replies))

    @property
    def parts(self) -> list[tuple[Service, str]]:
        """The services of the domain, each with its part."""
        both = [(self.producer, "producer")]
        return [*both, (self.consumer, "consumer")] if self.consumer else both

    @property
    def page_row(self) -> str:
        """The row of its page in docs/README.md."""
        return f"| [{self.plural}.md]({self.plural}.md) | {self.words['nouns']} |"

    @property
    def queue_row(self) -> str:
        """The row of its queues in docs/operations.md."""
        assert self.consumer is not None
        if self.replies:
            queues = f"`{self._queue}`, `{self._reply_queue}`"
            return f"| {queues} | the same about {self.words['nouns']} | the same |"
        about = f"what {self.producer.folder} says about {self.words['nouns']}"
        return f"| `{self._queue}` | {about} | worker of {self.consumer.folder} |"

    @property
    def _queue(self) -> str:
        return f"{self.consumer.name}.{self.plural}" if self.consumer else ""

    @property
    def _reply_queue(self) -> str:
        return f"{self.producer.name}.{self.plural}"

    @cached_property
    def words(self) -> Mapping[str, str]:
        """By the placeholder of the templates."""
        noun, nouns = self.singular.replace("_", " "), self.plural.replace("_", " ")
        path = self.plural.replace("_", "-")
        base = (
            "/api/v1" if self.producer == services.ORDERS else ""
        )  # as their test clients have it
        return {
            "plural": self.plural,
            "singular": self.singular,
            "noun": noun,
            "nouns": nouns,
            "Nouns": nouns.capitalize(),
            "a_noun": f"{_article(noun)} {noun}",
            "A_noun": f"{_article(noun).capitalize()} {noun}",
            "a_name": f"{_article(noun)}_{self.singular}",
            "Class": "".join(word.capitalize() for word in self.singular.split("_")),
            "CONSTANT": self.plural.upper(),
            "path": path,
            "address": f"{base}/{path}",
            "port": str(self.producer.port),
            "producer": self.producer.name,
            **self._words_of_the_consumer(nouns),
        }

    def _words_of_the_consumer(self, nouns: str) -> dict[str, str]:
        creates = f"{self.producer.folder} creates {nouns} over HTTP"
        if self.consumer is None:
            return {
                "producer_summary": "created here",
                "page_summary": f"{creates}. No service handles their events; the audit has them.",
                "audit_only": "    audit_only: ClassVar[bool] = True\n",
                "import_exchange": "",
                "subscription": "",
            }
        exchange, queue = self.producer.name.upper(), self._queue
        constant = queue.replace(".", "_").upper()
        return {
            "consumer": self.consumer.name,
            "QUEUE": constant,
            "queue": queue,
            "REPLY_QUEUE": self._reply_queue.replace(".", "_").upper(),
            "reply_queue": self._reply_queue,
            "producer_summary": f"created here; {self.consumer.folder} learns of them",
            "page_summary": f"{creates}, and {self.consumer.folder} learns of them by events.",
            "audit_only": "",
            "import_exchange": f"from contracts.exchanges import {exchange}\n",
            "subscription": f'\n{constant} = {exchange}.to("{queue}", "{self.singular}")\n',
        }


def _sides(sides: str) -> list[Service]:
    named = [services.named(side.strip()) for side in sides.split(",")]
    found = [service for service in named if service is not None]
    if len(found) != len(named) or len(set(found)) != len(found):
        known = ", ".join(service.name for service in SERVICES)
        raise Trouble(f"SIDES={sides}: one or both of {known}, the sender first", status=2)
    return found


def _singular_of(plural: str) -> str:
    for ending, singular in (
        ("ies", "y"),
        ("sses", "ss"),
        ("xes", "x"),
        ("ches", "ch"),
        ("shes", "sh"),
    ):
        if plural.endswith(ending):
            return plural.removesuffix(ending) + singular
    if plural.endswith("s") and not plural.endswith("ss"):
        return plural.removesuffix("s")
    raise Trouble(f"what is one of the {plural}? say SINGULAR=", status=2)


def _article(noun: str) -> str:
    sounds_like_you = noun.startswith(("eu", "one", "uni", "use", "usu"))
    return "an" if noun[0] in "aeiou" and not sounds_like_you else "a"
