"""Counts offers and rentals; the HTTP client counts the calls to external systems."""

from __future__ import annotations

from prometheus_client import Counter

OFFERS = Counter("rental_offers_total", "Requested offers: made or refused.", ["outcome"])
REFUSALS = Counter(
    "rental_refusals_total", "Offers and starts that were refused, by reason.", ["reason"]
)
RENTALS = Counter(
    "rentals_total",
    "Rentals that reached a status; a repeated transaction counts again.",
    ["status"],
)
