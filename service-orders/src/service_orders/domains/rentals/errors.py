"""What can be wrong with a request about offers and rentals."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID


class OfferRefused(Exception):
    """There is no offer for this user and scooter. `reason` is what the metrics call it."""

    reason: ClassVar[str]


class ScooterNotFound(OfferRefused):
    reason = "scooter_not_found"

    def __init__(self, scooter_id: str) -> None:
        super().__init__(f"There is no scooter {scooter_id}.")


class UserNotFound(OfferRefused):
    reason = "user_not_found"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"There is no user {user_id}.")


class UserHasDebt(OfferRefused):
    reason = "user_has_debt"

    def __init__(self, debt: int) -> None:
        super().__init__(f"A debt of {debt} has to be paid first.")


class OffersUnavailable(OfferRefused):
    """What an offer needs cannot be had now; `missing` says what."""

    reason = "offers_unavailable"

    def __init__(self, missing: str) -> None:
        super().__init__(f"No offer can be made right now ({missing}). Try again in a moment.")


class StartRefused(Exception):
    """No rental begins. `reason` is what the metrics call it."""

    reason: ClassVar[str]


class OfferInvalid(StartRefused):
    reason = "offer_invalid"

    def __init__(self) -> None:
        super().__init__("This is no offer of ours, or it was changed; ask for a new one.")


class OfferExpired(StartRefused):
    reason = "offer_expired"

    def __init__(self) -> None:
        super().__init__("This offer has expired; ask for a new one.")


class OfferUsed(StartRefused):
    reason = "offer_used"

    def __init__(self) -> None:
        super().__init__("A rental was started with this offer before.")


class ScooterInUse(StartRefused):
    reason = "scooter_in_use"

    def __init__(self, scooter_id: str) -> None:
        super().__init__(f"Somebody rides {scooter_id} already.")


class RentalNotFound(LookupError):
    """There is no rental with this id, or not any more."""

    def __init__(self, rental_id: UUID) -> None:
        super().__init__(f"There is no rental {rental_id}.")


class RentalNotActive(ValueError):
    """Only a ride that has begun can be finished."""

    def __init__(self, status: str) -> None:
        super().__init__(f"This rental is {status}; only one that is ACTIVE can be finished.")
