"""What becomes of offers and rentals; calls to external systems are counted where they are made."""

from __future__ import annotations

from prometheus_client import Counter

OFFERS = Counter("rental_offers_total", "Offers asked for: made or refused.", ["outcome"])
REFUSALS = Counter(
    "rental_refusals_total", "Offers and starts that were refused, by reason.", ["reason"]
)
RENTALS = Counter(
    "rentals_total",
    "Rentals that came to a status; a transaction that is run again counts again.",
    ["status"],
)
