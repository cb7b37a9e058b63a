"""The data of the stand-ins, the same in every process and after every restart."""

from __future__ import annotations

import re
from typing import Any

_USER = re.compile(r"user-(\d{1,18})")

TARIFF = {"price_per_minute": 12, "price_unlock": 45, "default_deposit": 300}
CONFIGS: dict[str, Any] = {
    "price_coeff_settings": {"surge": 2, "low_charge_discount": 0.75},
    "low_charge_threshold": 28,
}
_SPECIAL: dict[int, dict[str, Any]] = {
    2: {"current_debt": 1000, "total_debt": 1000},
    3: {"total_debt": 20_000},
    4: {"has_subscribtion": True},
    5: {"trusted": True},
}


def scooter(id_: str) -> dict[str, Any] | None:
    """Any id that contains `scooter` exists; `scooter-low-…` is nearly empty."""
    if "scooter" not in id_:
        return None
    return {"id": id_, "zone_id": "korolev", "charge": 15 if "scooter-low-" in id_ else 57}


def tariff_zone(id_: str) -> dict[str, Any]:
    """Every zone has the same tariff."""
    return {"id": id_, **TARIFF}


def user_profile(id_: str) -> dict[str, Any] | None:
    """`user-1` and up exist; 2 to 5 are special. The spelling is the provider's."""
    found = _USER.fullmatch(id_)
    if found is None or int(found[1]) < 1:
        return None
    plain = {"id": id_, "has_subscribtion": False, "trusted": False}
    return {**plain, **_SPECIAL.get(int(found[1]), {})}
