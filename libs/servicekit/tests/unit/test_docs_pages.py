"""The pages for people load nothing from other hosts, and can be left out."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from servicekit.http.access_rules import AccessRules
from servicekit.http.app import create_app
from servicekit.observe.metrics import HttpMetrics

PAGES = ("/docs", "/redoc", "/")
OTHERS = (
    ("/api/openapi", "/docs"),
    ("/api/redoc", "/redoc"),
    ("/api/openapi.json", "/openapi.json"),
)


@pytest.fixture
async def hidden(metrics: HttpMetrics) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        title="t", version="1", description="", metrics=metrics, access=AccessRules(docs=False)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        yield client


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_loads_nothing_from_other_hosts(client: httpx.AsyncClient, path: str) -> None:
    text = (await client.get(path)).text
    assert "//" not in re.sub(r"<!--.*?-->|^\s*//.*$", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", PAGES)
async def test_every_file_of_a_page_is_served(client: httpx.AsyncClient, path: str) -> None:
    text = (await client.get(path)).text
    asked = [*re.findall(r'(?:src|href)="([^"]+)"', text), "/openapi.json"]
    for one in asked:
        answer = await client.get(one)
        assert (answer.status_code, bool(answer.content)) == (200, True), one


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_no_script_but_its_own(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    policy = page.headers.get_list("content-security-policy")[0]
    allowed = policy.partition("script-src ")[2].partition(";")[0].split()
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    ]
    assert allowed == ["'self'", *(f"'sha256-{digest}'" for digest in digests)]
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("name", ["../openapi.py", "..%2f..%2fetc%2fpasswd", "x.js", "%00"])
async def test_only_the_files_of_the_pages_are_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/docs/assets/{name}")).status_code in (404, 422)


@pytest.mark.parametrize(("path", "target"), OTHERS)
async def test_the_other_names_redirect_to_the_pages(
    client: httpx.AsyncClient, path: str, target: str
) -> None:
    assert (await client.get(path)).headers["location"] == target


async def test_the_first_page_has_the_links_a_newcomer_needs(client: httpx.AsyncClient) -> None:
    text = (await client.get("/")).text
    assert set(re.findall('href="([^"]+)"', text)) == {
        "/docs",
        "/redoc",
        "/openapi.json",
        "/health",
        "/metrics",
    }


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/assets/swagger-ui.css", "/api/openapi"])
async def test_pages_can_be_left_out(hidden: httpx.AsyncClient, path: str) -> None:
    assert (await hidden.get(path)).status_code == 404
    assert path not in (await hidden.get("/")).text


async def test_the_document_stays_without_the_pages(hidden: httpx.AsyncClient) -> None:
    assert (await hidden.get("/openapi.json")).status_code == 200
    assert (await hidden.get("/api/openapi.json")).headers["location"] == "/openapi.json"
