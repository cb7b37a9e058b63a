"""`outbox jobs`, and jobs in `status` and `doctor`: what waits, what failed, what a person does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.outbox.operator import Pair, open_pair
from kit.outbox.world import Happened
from outbox import UnitOfWork, jobs
from outbox.jobs import Job, JobSettings, JobWorker, Result
from outbox.operations.database import open_database
from outbox.operations.doctor import examine


async def mails(job: Job) -> Result:
    if job.payload is None:
        raise jobs.Declined("no [address]")

    async def sent(unit: UnitOfWork) -> None:
        await unit.emit(Happened(job.key))

    return sent


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    """One mail is done, one mail has failed, and a job of a kind without a worker waits."""
    async with open_pair(broker_url) as opened:
        async with opened.producer.work.begin() as unit:
            await jobs.enqueue(unit, "mail", key="a", payload="a@x")
            await jobs.enqueue(unit, "mail", key="b", payload=None)
            await jobs.enqueue(unit, "pay", key="a", payload=7)
        assert await works(opened) == 2
        yield opened


async def works(pair: Pair) -> int:
    return await JobWorker(pair.producer.work, {"mail": mails}, JobSettings()).run_due()


async def listed(pair: Pair, *words: str) -> list[tuple[str, str, str]]:
    found = (await pair.say("jobs", "list", "--json", *words)).json
    return [(job["kind"], job["key"], job["state"]) for job in found]


async def test_jobs_are_listed_by_kind_state_and_key(pair: Pair) -> None:
    assert await listed(pair) == [
        ("mail", "a", "done"),
        ("mail", "b", "failed"),
        ("pay", "a", "waiting"),
    ]
    assert await listed(pair, "--state", "failed") == [("mail", "b", "failed")]
    assert await listed(pair, "--kind", "pay") == [("pay", "a", "waiting")]
    first = await pair.say("jobs", "list", "--key", "a", "--limit", "1")
    after = first.err.split()[-1]
    assert await listed(pair, "--key", "a", "--after", after) == [("pay", "a", "waiting")]
    assert "Declined: no [address]" in (await pair.say("jobs", "list")).out
    await pair.say("jobs", "list", "--state", "open", status=2)


async def test_show_prints_payload_error_and_idempotency_key(pair: Pair) -> None:
    said = await pair.say("jobs", "show", "pay", "a")
    assert "payload: 7" in said.out
    assert "idempotency key: pay:a" in said.out
    await pair.say("jobs", "show", "pay", "z", status=1)


async def test_a_failed_job_is_in_status_and_doctor_until_it_is_dealt_with(pair: Pair) -> None:
    said = (await pair.say("status", "--json", status=1)).json["jobs"]
    assert [(j["kind"], j["state"], j["jobs"]) for j in said] == [
        ("mail", "failed", 1),
        ("pay", "waiting", 1),
    ]
    assert "failed" in (await pair.say("status", status=1)).out
    assert "1 mail failed since" in (await doctor_says(pair))["error"]
    await pair.say("jobs", "discard", "mail", "b", "--yes")
    assert [(j["state"]) for j in (await pair.say("status", "--json")).json["jobs"]] == [
        "discarded",
        "waiting",
    ]
    assert await doctor_says(pair) == {"ok": "none has failed, 1 wait"}


async def test_the_doctor_names_a_job_without_a_worker(pair: Pair) -> None:
    await pair.producer.execute(
        "UPDATE outbox_jobs SET next_attempt_at = now() - interval '1 h' WHERE kind = 'pay'"
    )
    assert "1 pay wait, the first has been due since" in (await doctor_says(pair))["error"]


async def doctor_says(pair: Pair) -> dict[str, str]:
    async with open_database(pair.producer.database_url) as connection:
        found = [f for f in await examine(connection) if f.check == "jobs"]
    says: dict[str, str] = {}
    for finding in found:
        says[finding.level.value] = f"{says.get(finding.level.value, '')} {finding.says}".strip()
    return says


async def test_a_redriven_job_is_called_again_with_the_same_key(pair: Pair) -> None:
    await pair.producer.execute("UPDATE outbox_jobs SET payload = '\"b@x\"' WHERE key = 'b'")
    said = await pair.say("jobs", "redrive", "--kind", "mail", "--key", "b", "--json")
    assert said.json == {"jobs": 1}
    assert await works(pair) == 1
    assert await listed(pair, "--kind", "mail", "--state", "done") == [
        ("mail", "a", "done"),
        ("mail", "b", "done"),
    ]


async def test_a_discarded_job_stays_as_evidence_and_is_never_called(pair: Pair) -> None:
    words = ("jobs", "discard", "mail", "b")
    await pair.say(*words, answer="n\n", status=3)
    await pair.say(*words, "--yes")
    await pair.say(*words, "--yes", status=2)
    await pair.say("jobs", "discard", "mail", "a", "--yes", status=2)
    await pair.say("jobs", "discard", "pay", "a", "--yes")
    assert (await pair.say("jobs", "redrive", "--json")).json == {"jobs": 0}
    async with pair.producer.work.begin() as unit:
        assert not await jobs.enqueue(unit, "mail", key="b", payload="b@x")
    assert await works(pair) == 0
    [job] = (await pair.say("jobs", "show", "mail", "b", "--json")).json
    assert (job["state"], job["last_error"]) == ("discarded", "Declined: no [address]")


async def test_a_job_whose_call_is_being_made_cannot_be_discarded(pair: Pair) -> None:
    await pair.producer.execute(
        "UPDATE outbox_jobs SET lease_id = gen_random_uuid(), lease_until = now() + interval '1 h'"
        " WHERE kind = 'pay'"
    )
    await pair.say("jobs", "discard", "pay", "a", "--yes", status=2)


async def test_one_job_is_counted_in_the_singular(pair: Pair) -> None:
    assert "1 job\n" in (await pair.say("jobs", "list", "--kind", "pay")).out
    assert "2 jobs\n" in (await pair.say("jobs", "list", "--kind", "mail")).out
    said = await pair.say("jobs", "redrive", "--kind", "mail", "--key", "b")
    assert said.out == "1 job is tried now\n"
