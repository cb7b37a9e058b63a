"""Failures: groups, one event, redrive, discard and edit, each seen before it is done."""

from __future__ import annotations

import re

from fastapi import FastAPI

from kit.console.clicks import confirm, links
from kit.console.parked_rows import park
from kit.console.visitor import Visitor, hidden_fields, visiting
from kit.outbox.world import World

HOSTILE = """<script>alert("1")</script>'" onload=x&\r\nSet-Cookie: a=b"""


async def test_groups_are_redriven_after_a_preview_that_counts_them(
    world: World, ann: Visitor
) -> None:
    park(world.database_url, streams=3, events=4)
    group = links((await ann.get("/failures")).text)["f00dcafe"]
    page = (await ann.get(group)).text
    assert "ValueError: no such dish" in page
    assert "Traceback (most recent call last)" in page
    assert "&#34;number&#34;: 1" in page

    preview = links(page)["Redrive all…"]
    said = (await ann.get(preview)).text
    assert "The first event of 3 streams" in said
    assert "9 events wait behind" in said
    assert await confirm(ann, preview, "the dish is back") == 303

    [(due,)] = await world.rows("SELECT count(*) FROM inbox_parked WHERE next_attempt_at <= now()")
    assert due == 3
    history = (await ann.get("/operations")).text
    assert "redrive parked" in history
    assert "the dish is back" in history


async def test_a_sample_is_redriven_alone(world: World, ann: Visitor) -> None:
    park(world.database_url, streams=12, events=1)
    group = links((await ann.get("/failures")).text)["f00dcafe"]

    preview = links((await ann.get(group)).text)["Redrive a sample of ten…"]
    assert await confirm(ann, preview) == 303

    [(due,)] = await world.rows("SELECT count(*) FROM inbox_parked WHERE next_attempt_at <= now()")
    assert due == 10


async def test_one_event_is_discarded_and_its_body_is_kept(world: World, ann: Visitor) -> None:
    park(world.database_url, streams=2, events=2)
    group = links((await ann.get("/failures")).text)["f00dcafe"]

    preview = links((await ann.get(group)).text)["Discard this one…"]
    assert "This cannot be undone" in (await ann.get(preview)).text
    assert await confirm(ann, preview, "spoiled") == 303

    [(body, note)] = await world.rows("SELECT body, note FROM inbox_discarded")
    assert (bytes(body), note) == (b'{"number": 1}', "spoiled")


async def test_what_changed_since_the_page_was_drawn_is_refused_and_shown(
    world: World, ann: Visitor
) -> None:
    park(world.database_url, streams=3, events=1)
    group = links((await ann.get("/failures")).text)["f00dcafe"]
    preview = links((await ann.get(group)).text)["Discard all…"]
    page = (await ann.get(preview)).text
    await world.execute("DELETE FROM inbox_parked WHERE aggregate_id = 'o-00000002'")

    answer = await ann.post(preview, hidden_fields(page))

    assert answer.status_code == 409
    assert "this has changed since you saw it" in answer.text
    assert re.search(r"events</th><td>3</td><td>2</td>", answer.text)
    assert await world.rows("SELECT count(*) FROM inbox_discarded") == [(0,)]

    again = await ann.post(preview, hidden_fields(answer.text))
    assert again.status_code == 303
    assert await world.rows("SELECT count(*) FROM inbox_discarded") == [(2,)]


async def test_of_two_operators_at_one_group_the_second_does_nothing_twice(
    world: World, console: FastAPI, ann: Visitor
) -> None:
    park(world.database_url, streams=5, events=1)
    async with visiting(console, name="operator") as bob:
        group = links((await ann.get("/failures")).text)["f00dcafe"]
        preview = links((await ann.get(group)).text)["Discard all…"]
        hers, his = (await ann.get(preview)).text, (await bob.get(preview)).text

        assert (await ann.post(preview, hidden_fields(hers))).status_code == 303
        answer = await bob.post(preview, hidden_fields(his))

    assert answer.status_code == 409
    assert "There is nothing to do" in answer.text
    assert await world.rows("SELECT count(*) FROM inbox_discarded") == [(5,)]


async def test_a_form_of_one_action_does_no_other(world: World, ann: Visitor) -> None:
    park(world.database_url, streams=2, events=1)
    group = links((await ann.get("/failures")).text)["f00dcafe"]
    page = (await ann.get(group)).text
    fields = hidden_fields((await ann.get(links(page)["Redrive all…"])).text)

    answer = await ann.post(links(page)["Discard all…"], fields)

    assert answer.status_code == 400
    assert await world.rows("SELECT count(*) FROM inbox_discarded") == [(0,)]


async def test_a_body_is_edited_and_the_original_is_kept(world: World, ann: Visitor) -> None:
    park(world.database_url, streams=1, events=2, body=b'{"number": "x"}')
    group = links((await ann.get("/failures")).text)["f00dcafe"]
    editor = links((await ann.get(group)).text)["Edit its body…"]
    form = (await ann.get(editor)).text
    assert "&#34;number&#34;: &#34;x&#34;" in form

    preview = await ann.post(editor, {**hidden_fields(form), "body": '{"number": 7}'})
    assert "1 event waits behind" in preview.text
    answer = await ann.post(editor, {**hidden_fields(preview.text), "note": "a number"})

    assert answer.status_code == 303, answer.text
    bodies = await world.rows("SELECT body, reason FROM inbox_parked ORDER BY sequence")
    assert bytes(bodies[0][0]) == b'{"number": 7}'
    [(original,)] = await world.rows("SELECT body FROM inbox_discarded")
    assert bytes(original) == b'{"number": "x"}'


async def test_a_body_that_is_no_json_is_not_taken(world: World, ann: Visitor) -> None:
    park(world.database_url, streams=1, events=1)
    group = links((await ann.get("/failures")).text)["f00dcafe"]
    editor = links((await ann.get(group)).text)["Edit its body…"]

    form = hidden_fields((await ann.get(editor)).text)
    preview = await ann.post(editor, {**form, "body": '{"number": '})

    assert "No event can have the new body" in preview.text
    assert "seen" not in hidden_fields(preview.text)


async def test_hostile_texts_are_shown_as_text(world: World, ann: Visitor) -> None:
    park(
        world.database_url,
        streams=1,
        events=1,
        consumer=HOSTILE,
        event_type=HOSTILE,
        body=HOSTILE.encode(),
        error=HOSTILE,
        group=HOSTILE,
    )
    await world.execute("UPDATE inbox_parked SET cause = %s", HOSTILE)
    failures = (await ann.get("/failures")).text
    group = next(href for text, href in links(failures).items() if text.startswith("<script>"))
    pages = [failures, (await ann.get(group)).text]
    pages += [
        (await ann.get(links(pages[1])[action])).text
        for action in (
            "Redrive all…",
            "Discard all…",
            "Discard this one…",
            "Edit its body…",
        )
    ]

    for page in pages:
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


async def test_a_viewer_sees_the_preview_and_can_do_nothing(world: World, console: FastAPI) -> None:
    park(world.database_url, streams=1, events=1)
    async with visiting(console, name="viewer") as viewer:
        group = links((await viewer.get("/failures")).text)["f00dcafe"]
        preview = links((await viewer.get(group)).text)["Redrive all…"]
        page = await viewer.get(preview)
        assert "Only an operator can do this" in page.text
        assert (await viewer.post(preview, hidden_fields(page.text))).status_code == 403
