"""The console's frame over HTTP: logins, forms, refusals. `tests/browser` has the pages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator, MutableMapping
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from kit.console.visitor import Visitor, hidden_fields, visiting
from kit.outbox.world import install
from kit.servers import addresses
from kit.servers.databases import filled_database
from outbox.console import Access, ConsoleService, Proxy, Users, build_console
from outbox.console.access.guard import OPEN
from outbox.console.pages import PAGES
from outbox.console.services import AT_ONCE
from outbox.console.view import CurrentView
from outbox.operations import Actor
from outbox.operations.database import value

USERS = Users.of_development()


@pytest.fixture
def filled_url() -> Iterator[str]:
    with filled_database(addresses.postgres(), install) as url:
        yield url


def built(url: str, access: Access | None = None) -> FastAPI:
    """A console with one page more, on which an operator does something."""
    app = build_console([ConsoleService("shop", url)], access or Access(USERS))

    @app.post("/doing", name="doing")
    async def doing(view: CurrentView) -> object:
        view.flash("It is <done>.")
        return view.redirect("overview")

    @app.get("/crashing")
    async def crashing() -> object:
        raise RuntimeError("secret of the crash")

    return app


@pytest.fixture
async def operator(filled_url: str) -> AsyncIterator[Visitor]:
    async with visiting(built(filled_url), name="operator") as visitor:
        yield visitor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
async def test_no_page_is_shown_without_a_login(filled_url: str, page: object) -> None:
    app = built(filled_url)
    path = app.url_path_for(page.route)  # type: ignore[attr-defined]
    async with visiting(app) as nobody:
        answer = await nobody.get(path)
        assert (answer.status_code, answer.text) == (303, "")
        assert answer.headers["location"].startswith("/login?next=")
        assert (await nobody.get(path, headers={"X-Live": "1"})).status_code == 401


async def test_nothing_else_is_shown_either(filled_url: str) -> None:
    """Every route that there is, and one that is not there."""
    app = built(filled_url)
    paths = {path for path, _ in routes_of(app.routes)} - OPEN
    async with visiting(app) as nobody:
        for path in [*paths, "/nowhere", "/login/", "//static/console.css", "/static/../"]:
            answer = await nobody.http.get(f"http://127.0.0.1:8002{path or '/'}")
            assert answer.status_code in (303, 404, 405), path
            assert "shop" not in answer.text
            posted = await nobody.post(path)
            assert posted.status_code in (303, 404, 405), path


async def test_the_overview_shows_every_service(filled_url: str) -> None:
    app = build_console(
        [ConsoleService("one", filled_url), ConsoleService("two", filled_url)], Access(USERS)
    )
    async with visiting(app, name="viewer") as viewer:
        first = await viewer.get("/")
        assert "The first measurement is under way" in first.text
        for name in ("one", "two"):
            await app.state.samples.measure(name)
        page = await viewer.get("/")
    assert page.status_code == 200
    assert "From one to outbox of one" in page.text
    assert "From two to outbox of two" in page.text
    assert "postgresql://" not in page.text


async def test_a_database_that_is_away_hides_no_other(filled_url: str) -> None:
    away = ConsoleService("away", "postgresql://u:secret@127.0.0.1:1/x")
    app = build_console([away, ConsoleService("shop", filled_url)], Access(USERS))
    for name in ("away", "shop"):
        await app.state.samples.measure(name)
    async with visiting(app, name="viewer") as viewer:
        page = await viewer.get("/")
    assert page.status_code == 200
    assert "the database cannot be used" in page.text
    assert "From shop to outbox of shop" in page.text
    assert "secret" not in page.text


async def test_however_many_look_the_database_keeps_its_connections(
    filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.console.services.PATIENCE", 0.2)
    service = ConsoleService("shop", filled_url)
    app = build_console([service], Access(USERS))
    async with visiting(app, name="viewer") as viewer, AsyncExitStack() as stack:
        for _ in range(AT_ONCE):
            await stack.enter_async_context(service.operator(Actor("ann", "console")))
        refused = await viewer.get("/jobs")
        assert refused.status_code == 503
        assert "Too many look at this service" in refused.text
        changing = service.operator(Actor("ann", "console"), to_change=True)
        assert await stack.enter_async_context(changing)


async def test_a_statement_of_a_page_is_cancelled_in_the_end(filled_url: str) -> None:
    service = ConsoleService("shop", filled_url)
    async with service.operator(Actor("ann", "console")) as operator:
        limit = await value(operator.connection, "SHOW statement_timeout")
        name = await value(operator.connection, "SHOW application_name")
    assert (limit, name) == ("1min", "outbox console")


async def test_a_login_leads_to_the_page_that_was_asked_for(filled_url: str) -> None:
    async with visiting(built(filled_url)) as visitor:
        asked = await visitor.get("/?service=shop&x=%0d%0a")
        form = await visitor.get(asked.headers["location"])
        fields = {"name": "operator", "password": "operator-dev-only"}
        answer = await visitor.post("/login", {**hidden_fields(form.text), **fields})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/?service=shop&x=%0d%0a"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "secure" not in cookie


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil", "evil", "/a\r\nX: y"],
)
async def test_a_login_leads_nowhere_else(filled_url: str, target: str) -> None:
    async with visiting(built(filled_url)) as visitor:
        fields = {"name": "operator", "password": "operator-dev-only", "next": target}
        answer = await visitor.post("/login", fields)
        assert answer.headers["location"] == "/"
        shown = await visitor.get("/login", params={"next": target})
        assert "evil" not in shown.text


async def test_a_logout_ends_the_session_for_every_copy_of_its_cookie(operator: Visitor) -> None:
    copied = dict(operator.http.cookies)
    assert (await operator.submit("/logout")).status_code == 303
    operator.http.cookies.update(copied)
    assert (await operator.get("/")).status_code == 303


async def test_wrong_logins_are_delayed(
    filled_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.console.login.monotonic", lambda: 100.0)
    async with visiting(built(filled_url)) as visitor:
        answers = [await visitor.log_in("operator", "wrong") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
        assert answers[-1].headers["retry-after"] == "1"
        right = await visitor.log_in("operator")
        assert right.status_code == 429
        assert (await visitor.log_in("viewer")).status_code == 303
    assert "a wrong login as 'operator' from 127.0.0.1" in caplog.text


async def test_an_operator_changes_something_and_is_told_once(operator: Visitor) -> None:
    done = await operator.submit("/doing")
    assert (done.status_code, done.headers["location"]) == (303, "/")
    live = await operator.get("/", headers={"X-Live": "1"})
    assert "done" not in live.text
    page = await operator.get("/")
    assert "It is &lt;done&gt;." in page.text
    assert "done" not in (await operator.get("/")).text


async def test_a_viewer_changes_nothing_and_it_is_logged(
    filled_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with visiting(built(filled_url), name="viewer") as viewer:
        for method in ("POST", "PUT", "PATCH", "DELETE", "MADEUP"):
            csrf = hidden_fields((await viewer.get("/")).text)
            answer = await viewer.http.request(method, "/doing%0aforged", data=csrf)
            assert answer.status_code == 403
            assert "role operator" in answer.text
        assert (await viewer.submit("/logout")).status_code == 303
    assert "viewer is a viewer and may not change anything: refused POST " in caplog.text
    assert "\nforged" not in caplog.text


async def test_no_route_takes_a_form_of_a_viewer_or_one_that_is_forged(filled_url: str) -> None:
    """Whatever pages are added: everything but a login and a logout needs an operator."""
    app = built(filled_url)
    posts = {path for path, methods in routes_of(app.routes) if methods - {"GET", "HEAD"}}
    assert posts >= {"/doing", "/login", "/logout"}
    posts -= {"/login"}
    async with visiting(app, name="operator") as operator:
        assert {(await operator.post(path)).status_code for path in posts} == {403}
    async with visiting(app, name="viewer") as viewer:
        csrf = hidden_fields((await viewer.get("/")).text)
        for path in posts - {"/logout"}:
            assert (await viewer.post(path, csrf)).status_code == 403, path
    async with visiting(app) as nobody:
        assert {(await nobody.post(path, csrf)).status_code for path in posts} == {303}


def routes_of(routes: Iterable[object]) -> Iterator[tuple[str, set[str]]]:
    """Path and methods of every endpoint, those of included routers too; each parameter is x."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield re.sub(r"\{.*?\}", "x", route.path), set(route.methods or ())
        elif inner := getattr(route, "original_router", None):
            yield from routes_of(inner.routes)


@pytest.mark.parametrize("csrf", [None, "", "made-up", "ü"])
async def test_a_form_without_the_sessions_token_is_refused(
    operator: Visitor, csrf: str | None
) -> None:
    answer = await operator.post("/doing", {} if csrf is None else {"csrf": csrf})
    assert answer.status_code == 403
    assert "done" not in (await operator.get("/")).text


async def test_the_token_of_another_session_is_refused(filled_url: str) -> None:
    app = built(filled_url)
    async with visiting(app, name="operator") as one, visiting(app, name="operator") as other:
        csrf = hidden_fields((await other.get("/")).text)
        assert (await one.post("/doing", csrf)).status_code == 403
        assert (await other.post("/doing", csrf)).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_of_another_site_is_refused(
    operator: Visitor, headers: dict[str, str]
) -> None:
    for path in ("/doing", "/login", "/logout"):
        assert (await operator.submit(path, headers=headers)).status_code == 403
    assert (await operator.get("/")).status_code == 200
    own = {"Origin": "http://127.0.0.1:8002", "Sec-Fetch-Site": "same-origin"}
    assert (await operator.submit("/doing", headers=own)).status_code == 303


async def test_a_link_of_another_site_is_asked_once_more_with_the_cookie(filled_url: str) -> None:
    async with visiting(built(filled_url)) as visitor:
        answer = await visitor.get("/", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0"' in answer.text
    assert "shop" not in answer.text


async def test_a_websocket_is_always_refused(filled_url: str) -> None:
    said: list[MutableMapping[str, object]] = []

    async def receive() -> MutableMapping[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, object]) -> None:
        said.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    await built(filled_url)(scope, receive, send)
    assert said == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8002", ""])
async def test_another_host_name_is_refused(operator: Visitor, host: str) -> None:
    answer = await operator.get("/", headers={"Host": host})
    assert answer.status_code == 421
    assert "shop" not in answer.text


async def test_every_answer_has_the_headers_that_browsers_obey(operator: Visitor) -> None:
    answers = [
        await operator.get("/"),
        await operator.get("/login"),
        await operator.get("/static/console.css"),
        await operator.get("/nowhere"),
        await operator.get("/crashing"),
        await operator.post("/doing"),
        await operator.get("/", headers={"Host": "evil.example"}),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert answers[0].headers["cache-control"] == "no-store"


async def test_a_crash_says_nothing_of_itself(
    operator: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await operator.get("/crashing")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret of the crash" in caplog.text


async def test_a_form_that_is_too_large_is_refused(operator: Visitor) -> None:
    answer = await operator.post("/doing", headers={"Content-Length": str(10**9)})
    assert answer.status_code == 413
    login = {"name": "operator", "password": "x" * 20_000}
    assert (await operator.post("/login", login)).status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 1_000_000

    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await operator.http.post("/doing", content=endless(), headers=kind)
    assert answer.status_code in (400, 413)


async def test_pages_hold_no_script_and_no_style(operator: Visitor) -> None:
    """The policy lets only files run; a page that needs another one would break."""
    for path in ("/", "/login", "/nowhere"):
        text = (await operator.get(path)).text
        assert text.count("<script") == text.count("<script src=")
        assert "<style" not in text
        assert " style=" not in text
        assert " onclick=" not in text


async def test_a_trusted_proxy_logs_people_in(filled_url: str) -> None:
    app = built(filled_url, Access(None, Proxy.of("10.0.0.0/8", "X-User", "X-Role")))
    said = {"X-User": "ann", "X-Role": "operator"}
    async with visiting(app, address="10.0.0.1") as proxied:
        page = await proxied.get("/", headers={**said, "X-Forwarded-Proto": "https"})
        assert page.status_code == 200
        assert "ann" in page.text
        assert "secure" in page.headers["set-cookie"].lower()
        proxied.http.cookies.set("outbox_console", page.cookies["outbox_console"])
        csrf = hidden_fields(page.text)
        assert (await proxied.post("/doing", csrf, headers=said)).status_code == 303
        assert (await proxied.get("/")).status_code == 303
        twice = [("X-User", "ann"), ("X-User", "eve"), ("X-Role", "operator")]
        assert (await proxied.http.get("/", headers=twice)).status_code == 303
    async with visiting(app, address="192.168.0.1") as direct:
        assert (await direct.get("/", headers=said)).status_code == 303
        assert (await direct.log_in("operator")).status_code == 403


async def test_the_console_can_be_mounted(filled_url: str) -> None:
    outer = FastAPI()
    outer.mount("/console", built(filled_url))
    async with visiting(outer, prefix="/console") as visitor:
        asked = await visitor.get("/")
        assert asked.headers["location"].startswith("/console/login?next=%2Fconsole%2F")
        answer = await visitor.log_in("operator")
        assert answer.headers["location"] == "/console/"
        assert "path=/console" in answer.headers["set-cookie"].lower()
        page = await visitor.get("/")
        assert 'href="/console/static/console.css?v=' in page.text
        assert (await visitor.submit("/doing")).headers["location"] == "/console/"
        assert (await visitor.get("/static/console.css")).status_code == 200


async def test_what_one_session_signs_another_cannot_use(filled_url: str) -> None:
    app = build_console([ConsoleService("shop", filled_url)], Access(USERS))

    @app.get("/signed")
    async def signed(view: CurrentView) -> object:
        return view.sign({"events": 3})

    @app.get("/unsigned")
    async def unsigned(view: CurrentView, text: str) -> object:
        return view.unsign(text)

    async with visiting(app, name="operator") as one, visiting(app, name="operator") as other:
        text = (await one.get("/signed")).json()
        own = await one.get("/unsigned", params={"text": text})
        assert own.json() == {"events": 3}
        assert (await other.get("/unsigned", params={"text": text})).status_code == 400
        forged = f"f{text[1:]}"
        assert (await one.get("/unsigned", params={"text": forged})).status_code == 400
