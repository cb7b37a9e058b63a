"""Pages of other origins, and unknown host names, get a 4xx."""

from __future__ import annotations

import httpx
import pytest

from kit.http.hostile import assert_problem
from servicekit.http.access_rules import LOOPBACK_HOSTS, AccessRules
from servicekit.http.app import create_app
from servicekit.http.routing import Router
from servicekit.http.security_headers import SECURITY_HEADERS
from servicekit.observe.health import Health
from servicekit.observe.metrics import HttpMetrics

OURS, FRIEND = "http://localhost:8000", "https://app.example"
CHANGES = ["POST", "PUT", "PATCH", "DELETE"]


def things() -> Router:
    router = Router()

    async def thing() -> str:
        return "changed"

    @router.get("/crash")
    async def crash() -> None:
        raise RuntimeError

    router.api_route("/thing", methods=["GET", *CHANGES])(thing)
    return router


def caller(metrics: HttpMetrics, access: AccessRules) -> httpx.AsyncClient:
    app = create_app(
        title="t",
        version="1",
        description="",
        routers=[things()],
        health=Health({}),
        metrics=metrics,
        access=access,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=OURS)


@pytest.fixture
def http(metrics: HttpMetrics) -> httpx.AsyncClient:
    return caller(metrics, AccessRules(LOOPBACK_HOSTS, frozenset({FRIEND})))


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8000", "localhost.", "localhost.:80"),
        *("127.0.0.1:1", "127.0.0.1:", "[::1]:8000", "[::1]:", "[::1]"),
    ],
)
async def test_every_name_of_this_machine_is_known(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/api/v1/thing", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1."),
        *("::1", "", ":", ".", "*"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/thing", "/openapi.json", "/docs", "/nothing"])
async def test_another_name_is_misdirected(http: httpx.AsyncClient, host: str, path: str) -> None:
    answer = await http.get(path, headers={"host": host})
    assert_problem(answer, 421, "misdirected_request")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready/", "/metrics"])
async def test_probes_and_scrapers_come_by_any_name(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path, headers={"host": "10.0.0.7:8000"})).status_code == 200


async def test_any_name_may_be_allowed(metrics: HttpMetrics) -> None:
    async with caller(metrics, AccessRules()) as http:
        headers = {"host": "whatever"}
        assert (await http.get("/api/v1/thing", headers=headers)).status_code == 200


@pytest.mark.parametrize("origin", ["null", "", "http://", "evil.example"])
async def test_a_page_without_an_origin_is_foreign_to_a_request_without_a_host(
    metrics: HttpMetrics, origin: str
) -> None:
    async with caller(metrics, AccessRules()) as http:
        headers = {"host": "", "origin": origin}
        answer = await http.post("/api/v1/thing", headers=headers)
        assert_problem(answer, 403, "cross_site_request")


FOREIGN: list[dict[str, str]] = [
    {"origin": "http://evil.example"},
    {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"},
    {"origin": "null"},
    {"origin": "http://localhost:8000.evil.example"},
    {"sec-fetch-site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("method", CHANGES)
async def test_a_page_of_another_origin_changes_nothing(
    http: httpx.AsyncClient, method: str, headers: dict[str, str]
) -> None:
    answer = await http.request(method, "/api/v1/thing", headers=headers)
    assert_problem(answer, 403, "cross_site_request")


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_page_of_another_origin_cannot_read_an_answer(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await http.get("/api/v1/thing", headers=headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": OURS, "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": FRIEND, "sec-fetch-site": "cross-site"},
        {"host": "127.0.0.1", "origin": "https://127.0.0.1"},
    ],
)
async def test_own_pages_and_other_clients_may_change_things(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for method in CHANGES:
        answer = await http.request(method, "/api/v1/thing", headers=headers)
        assert answer.status_code == 200


def asking(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "content-type, idempotency-key",
    }


async def test_an_allowed_page_gets_cors_headers(http: httpx.AsyncClient) -> None:
    told = await http.options("/api/v1/thing", headers=asking(FRIEND))
    assert told.status_code == 200
    assert told.headers["access-control-allow-origin"] == FRIEND
    assert "PATCH" in told.headers["access-control-allow-methods"]
    assert "idempotency-key" in told.headers["access-control-allow-headers"]
    answer = await http.patch("/api/v1/thing", headers={"origin": FRIEND})
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "Location" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


async def test_an_allowed_page_can_read_a_refusal(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/v1/thing?skip=1", headers={"origin": FRIEND})
    assert_problem(answer, 422, "unknown_parameter")
    assert answer.headers["access-control-allow-origin"] == FRIEND


async def test_an_allowed_page_can_read_a_crash(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/v1/crash", headers={"origin": FRIEND})
    assert_problem(answer, 500, "internal_error")
    assert answer.headers["access-control-allow-origin"] == FRIEND


async def test_a_refusal_names_no_setting(http: httpx.AsyncClient) -> None:
    misdirected = await http.get("/api/v1/thing", headers={"host": "evil.example"})
    foreign = await http.post("/api/v1/thing", headers={"origin": "null"})
    for answer in (misdirected, foreign):
        assert "ALLOWED_HOSTS" not in answer.text
        assert "CORS_ORIGINS" not in answer.text


async def test_any_other_page_gets_no_cors_headers(
    http: httpx.AsyncClient, metrics: HttpMetrics
) -> None:
    told = await http.options("/api/v1/thing", headers=asking("https://evil.example"))
    assert_problem(told, 403, "cross_site_request")


async def test_without_configured_origins_none_is_asked_for(metrics: HttpMetrics) -> None:
    async with caller(metrics, AccessRules(LOOPBACK_HOSTS)) as http:
        told = await http.options("/api/v1/thing", headers=asking(FRIEND))
        assert_problem(told, 403, "cross_site_request")
        plain = await http.options("/api/v1/thing")
        assert_problem(plain, 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/v1/thing", {}),
        ("/nothing", {}),
        ("/api/v1/thing", {"host": "evil.example"}),
        ("/api/v1/thing?x=1", {}),
        ("/metrics", {}),
        ("/openapi.json", {}),
    ],
)
async def test_every_answer_has_the_security_headers(
    http: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    answer = await http.get(path, headers=headers)
    assert SECURITY_HEADERS.items() <= dict(answer.headers).items()


async def test_head_is_counted_as_head_and_by_its_route(http: httpx.AsyncClient) -> None:
    head = await http.head("/api/v1/thing")
    assert (head.status_code, head.content) == (200, b"")
    text = (await http.get("/metrics")).text
    assert 'http_requests_total{method="HEAD",route="/api/v1/thing",status="200"} 1.0' in text
