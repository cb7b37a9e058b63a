"""The refusals of requests about offers and rentals."""

from __future__ import annotations

from typing import ClassVar

from servicekit.service.rows import NotFound


class OfferRefused(Exception):
    """There is no offer for this user and scooter. `reason` is its name in the metrics."""

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
    """Something that an offer needs is not available now; `missing` says what."""

    reason = "offers_unavailable"

    def __init__(self, missing: str) -> None:
        super().__init__(f"No offer can be made right now ({missing}). Try again in a moment.")


class StartRefused(Exception):
    """The rental does not start. `reason` is its name in the metrics."""

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


class RentalNotFound(NotFound):
    """There is no rental with this id, or its day was dropped."""

    noun = "rental"


class RentalNotActive(ValueError):
    """The rental has no ride that could be finished."""

    def __init__(self, status: str) -> None:
        super().__init__(f"This rental is {status}; only one that is ACTIVE can be finished.")
