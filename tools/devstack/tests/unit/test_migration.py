"""The names of migrations; `tests/examples/test_make_domain.py` writes some."""

from __future__ import annotations

import pytest

from devstack.commands import migration
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.services import ORDERS


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("Add parcels.", "parcels"),
        ("The parcels and their history.", "parcels"),
        ("Rentals, what is unique about them.", "rentals"),
        ("Keys of idempotency are longer.", "keys"),
        ("Index open rental offers by age.", "index_open_rental"),
    ],
)
def test_a_file_is_called_by_what_its_sentence_is_about(sentence: str, name: str) -> None:
    assert migration.short_name(sentence) == name


@pytest.mark.parametrize("message", ["", " . ", "add a", 'say "parcels"', "a\\b", "parcels " * 20])
def test_a_message_that_is_no_plain_sentence_is_refused(checkout: Layout, message: str) -> None:
    with pytest.raises(Trouble):
        migration.run(checkout, ORDERS, message)
    assert not checkout.home.exists()


def test_a_file_is_never_overwritten(checkout: Layout) -> None:
    folder = checkout.checkout / "service-orders/migrations/versions"
    folder.mkdir(parents=True)
    taken = migration.path_of(checkout, ORDERS, "Add parcels.")
    taken.write_text("kept")
    with pytest.raises(Trouble, match=f"{taken.name} exists"):
        migration.run(checkout, ORDERS, "the parcels")
    assert taken.read_text() == "kept"


def test_a_migration_that_drops_what_a_domain_declares_is_taken_back(checkout: Layout) -> None:
    domain = checkout.checkout / "service-orders/src/service_orders/domains/parcels"
    domain.mkdir(parents=True)
    (domain / "models.py").write_text('PARCELS = table_of(Parcel, "parcels", METADATA)\n')
    found = checkout.checkout / "20261126_index.py"
    found.write_text('def upgrade():\n    op.drop_table("letters")\n')
    migration.keep_declared_tables(checkout, ORDERS, found)
    found.write_text(
        'def upgrade():\n    op.drop_table("parcels")\n\n\ndef downgrade():\n    ...\n'
    )
    with pytest.raises(Trouble, match=r"would drop parcels, which .*parcels/models\.py declares"):
        migration.keep_declared_tables(checkout, ORDERS, found)
    assert not found.exists()


def test_a_migration_whose_downgrade_drops_a_new_table_is_kept(checkout: Layout) -> None:
    domain = checkout.checkout / "service-orders/src/service_orders/domains/parcels"
    domain.mkdir(parents=True)
    (domain / "models.py").write_text('PARCELS = table_of(Parcel, "parcels", METADATA)\n')
    found = checkout.checkout / "20261126_parcels.py"
    found.write_text(
        'def upgrade():\n    ...\n\n\ndef downgrade():\n    op.drop_table("parcels")\n'
    )
    migration.keep_declared_tables(checkout, ORDERS, found)
    assert found.exists()
