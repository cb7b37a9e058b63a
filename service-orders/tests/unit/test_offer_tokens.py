"""A token is an offer only if we signed it, as it is, and it has not expired."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_orders.domains.rentals.errors import OfferExpired, OfferInvalid
from service_orders.domains.rentals.offers import AUDIENCE, Offer, Signer
from service_orders.domains.rentals.pricing import Price

OLD, NEW, OTHER = (
    "the old key, long enough to sign with",
    "the new key, as long as the old one",
    "k" * 40,
)
PRICE = Price(per_minute=24, unlock=45, deposit=300, free_ride_seconds=5)
SIGNER = Signer([NEW])


def offer(ttl: float = 300) -> Offer:
    return Offer.until("user-1", "scooter-1", "korolev", PRICE, ttl=timedelta(seconds=ttl))


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good token, changed; None leaves one out."""
    good = jwt.decode(SIGNER.token(offer()), NEW, algorithms=["HS256"], audience=AUDIENCE)
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def refused(token: str) -> None:
    with pytest.raises(OfferInvalid):
        SIGNER.read(token)


def test_a_token_carries_the_whole_offer() -> None:
    made = offer()
    assert SIGNER.read(SIGNER.token(made)) == made


def test_expires_at_is_rounded_down() -> None:
    before = datetime.now(UTC)
    made = offer()
    assert made.expires_at.microsecond == 0
    assert made.expires_at <= before + timedelta(seconds=301)
    assert made.expires_at < datetime.now(UTC) + timedelta(seconds=300)


def test_no_two_offers_are_alike() -> None:
    one, other = offer(), offer()
    assert one.id != other.id
    assert SIGNER.token(one) != SIGNER.token(other)


def test_an_expired_token_says_so() -> None:
    token = SIGNER.token(offer(ttl=-1))
    with pytest.raises(OfferExpired):
        SIGNER.read(token)


def test_the_newest_key_signs_and_all_of_them_verify() -> None:
    before, after = Signer([OLD]), Signer([NEW, OLD])
    made = offer()
    assert after.read(before.token(made)) == made
    assert SIGNER.read(after.token(made)) == made
    refused(before.token(made))


def test_a_token_signed_with_another_key_is_refused() -> None:
    refused(jwt.encode(claims(), OTHER, algorithm="HS256"))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused_though_the_key_is_ours(algorithm: str) -> None:
    key = NEW * 2
    with pytest.raises(OfferInvalid):
        Signer([key]).read(jwt.encode(claims(), key, algorithm=algorithm))


def test_the_algorithm_none_is_refused() -> None:
    refused(jwt.encode(claims(), None, algorithm="none"))
    header, payload, _ = SIGNER.token(offer()).split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    refused(f"{none}.{payload}.")
    refused(f"{header}.{payload}.")


@given(st.data())
def test_one_changed_byte_of_the_payload_is_refused(data: st.DataObject) -> None:
    header, payload, signature = SIGNER.token(offer()).split(".")
    body = bytearray(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] ^= 1 << data.draw(st.integers(0, 7))
    changed = base64.urlsafe_b64encode(bytes(body)).rstrip(b"=").decode()
    refused(f"{header}.{changed}.{signature}")


@given(st.text(max_size=200))
def test_garbage_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "something-else"},
        {"aud": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 10**20},
        {"jti": None},
        {"jti": "1"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"scooter_id": None},
        {"price_per_minute": -1},
        {"price_per_minute": 1.5},
        {"price_per_minute": "24"},
        {"deposit": 10**15},
        {"deposit": None},
        {"tariff_version": 2},
        {"tariff_version": None},
        {"pricing_version": 2},
        {"pricing_version": "1"},
    ],
)
def test_a_token_of_ours_that_is_no_offer_is_refused(change: dict[str, Any]) -> None:
    """Signed with our key, for another purpose or by another release."""
    body = json.dumps(claims(**change)).encode()
    refused(jwt.api_jws.encode(body, NEW, algorithm="HS256"))


def test_a_claim_more_does_no_harm() -> None:
    assert SIGNER.read(jwt.encode(claims(more=str(uuid4())), NEW, algorithm="HS256"))


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, "short"]])
def test_a_key_that_can_be_guessed_signs_nothing(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(keys)
