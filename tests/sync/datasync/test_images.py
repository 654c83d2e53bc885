"""An appliance restored from an image gives no number that its peer has seen already, though rows wait for theirs."""

from __future__ import annotations

from appliances.models import Appliance, SessionEvent
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, both_hold_the_same, sync

NUMBERS = (
    "from appliances.models import SessionEvent; "
    "result = sorted(map(list, SessionEvent.objects.filter(text='written after').values_list('incarnation', 'seq')))"
)


def test_rows_that_wait_in_an_image_of_the_primary_get_no_number_that_is_taken(peer: FakePeer, there: There) -> None:
    there("events", 3)
    sync(peer)
    there("take_image")
    there("events", 5)
    sync(peer)
    there("restore_image")
    there("event", "written after")
    sync(peer)
    assert there("run", NUMBERS) == [[2, 1]]
    assert SessionEvent.objects.count() == 9
    both_hold_the_same(there)


def test_rows_that_wait_in_an_image_of_the_backup_get_no_number_that_is_taken(peer: FakePeer, there: There) -> None:
    world.events(3)
    sync(peer)
    world.take_image()
    world.events(5)
    sync(peer)
    world.restore_image()
    world.event("written after")
    sync(peer)
    assert world.run(NUMBERS) == [[2, 1]]
    assert Appliance.objects.get().incarnation == 2
    assert SessionEvent.objects.count() == 9
    both_hold_the_same(there)


def test_rows_of_the_backup_go_up_in_the_data_sync_that_numbers_them(peer: FakePeer, there: There) -> None:
    sync(peer)
    world.events(4)
    assert sync(peer).rows_sent == 4
    both_hold_the_same(there)
