"""Whatever is sent as a wish for an offer, or as a token, is refused and leaves nothing behind."""

from __future__ import annotations

import pytest

from kit.http.hostile import (
    CONTENT_TYPES,
    NOT_AN_OBJECT,
    NOT_JSON,
    UNSTORABLE,
    WRONG_TEXTS,
    WRONG_WAITS,
    Refusal,
    an_object,
    assert_problem,
    invalid,
)
from kit.http.live_services import Live
from kit.http.raw import exchange, request

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

OFFERS, RENTALS = b"/api/v1/offers", b"/api/v1/rentals"
JSON = b"Content-Type: application/json"


def wish(**changes: str) -> bytes:
    return an_object({"user_id": '"user-1"', "scooter_id": '"scooter-1"'} | changes)


def token(text: str) -> bytes:
    return an_object({"token": text})


OFFER_BODIES: list[Refusal] = [
    *((name, body, 400, "malformed_json") for name, body in NOT_JSON),
    *invalid((name, text.encode()) for name, text in NOT_AN_OBJECT),
    *invalid((f"{name} as user", wish(user_id=text)) for name, text in UNSTORABLE + WRONG_TEXTS),
    *invalid((f"{name} as scooter", wish(scooter_id=text)) for name, text in WRONG_TEXTS),
]

TOKENS: list[Refusal] = [
    *((name, body, 400, "malformed_json") for name, body in NOT_JSON),
    *invalid((name, text.encode()) for name, text in NOT_AN_OBJECT),
    *invalid((f"{name} as token", token(text)) for name, text in UNSTORABLE),
    *invalid([("an empty token", token('""')), ("a number", token("1")), ("null", token("null"))]),
    *invalid([("a token of 4,097 characters", token(f'"{"x" * 4097}"'))]),
    ("a token of 4,096 characters", token(f'"{"x" * 4096}"'), 400, "offer_invalid"),
    ("dots", token('".."'), 400, "offer_invalid"),
    ("snowmen", token('"\u2603.\u2603.\u2603"'), 400, "offer_invalid"),
    ("a header that is a list", token('"W10.W10.W10"'), 400, "offer_invalid"),
    ("no algorithm", token('"eyJhbGciOiJub25lIn0.e30."'), 400, "offer_invalid"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), [o[1:] for o in OFFER_BODIES], ids=[o[0] for o in OFFER_BODIES]
)
def test_a_hostile_wish_is_refused(orders: Live, body: bytes, status: int, code: str) -> None:
    assert_problem(exchange(orders, request("POST", OFFERS, JSON, body=body)), status, code)


@pytest.mark.parametrize(
    ("body", "status", "code"), [t[1:] for t in TOKENS], ids=[t[0] for t in TOKENS]
)
def test_a_hostile_token_is_refused(orders: Live, body: bytes, status: int, code: str) -> None:
    assert_problem(exchange(orders, request("POST", RENTALS, JSON, body=body)), status, code)


@pytest.mark.parametrize("scooter", ["bike&id=scooter-1", "bike#scooter?", "../user-profile"])
def test_a_scooter_is_asked_for_by_the_whole_of_its_id(orders: Live, scooter: str) -> None:
    """What looks like a query is a part of the name: some of these exist, none is another."""
    answer = exchange(orders, request("POST", OFFERS, JSON, body=wish(scooter_id=f'"{scooter}"')))
    assert answer.status_code == (201 if "scooter" in scooter else 404)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize("path", [OFFERS, RENTALS])
def test_another_content_type_is_refused(orders: Live, path: bytes, content_type: str) -> None:
    header = b"Content-Type: " + content_type.encode()
    refused = exchange(orders, request("POST", path, header, body=wish()))
    assert_problem(refused, 415, "unsupported_media_type")


@pytest.mark.parametrize("wait", WRONG_WAITS)
def test_a_malformed_wait_is_refused(orders: Live, wait: str) -> None:
    target = RENTALS + f"?wait={wait}".encode()
    refused = exchange(orders, request("POST", target, JSON, body=token('"x"')))
    assert_problem(refused, 422, "validation_failed")


@pytest.mark.parametrize("rental_id", ["0", "%00", "new", "01a1feb0-c5c7-778b-adc1-f835876caf2"])
@pytest.mark.parametrize("tail", ["", "/finish", "/history"])
def test_what_is_no_id_finds_nothing(orders: Live, rental_id: str, tail: str) -> None:
    method = "POST" if tail == "/finish" else "GET"
    target = RENTALS + f"/{rental_id}{tail}".encode()
    assert_problem(exchange(orders, request(method, target)), 422, "validation_failed")
