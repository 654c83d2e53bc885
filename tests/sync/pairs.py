"""One side of a pair, as rows: for what is tested without a second appliance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from appliances.choices import State
from appliances.models import FailoverRelationship
from sync import journal
from sync.models import RoleJournal


def establish(state: State, *, peer_port: int = 443) -> None:
    """This appliance is in a relationship with a peer at 127.0.0.1 and in this state of the role protocol."""
    FailoverRelationship.objects.create(
        pair_id="a" * 32,
        peer_guid="b" * 32,
        peer_name="site2.example.com",
        peer_host="127.0.0.1",
        peer_port=peer_port,
        reverse_host="192.0.2.1",
        reverse_port=443,
        is_founding_primary=True,
    )
    RoleJournal.objects.update_or_create(pk=1, defaults={"state": state})


@contextmanager
def settings_open() -> Iterator[None]:
    """Inside, settings may be written whatever the role: what came with a data-sync, or is left of another time."""
    with journal.locked() as held, held.settings_open():
        yield
