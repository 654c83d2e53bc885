"""Role changes between two real appliances: what is promised is kept, what is given up is given up on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sync.boxes import KEY, Box

BEGIN = """
from appliances.choices import Role
from sync import role_changes
change = role_changes.request(
    Role.{role}, want_final_sync=False, without_peer={without_peer}, accepts_loss=True, requested_by="anna"
)
result = change.pk.hex
"""
DRIVE = "import uuid; from sync import role_changes; role_changes.drive(uuid.UUID({id!r}))"
STATE = "from sync import journal; result = journal.read().state.value"
CHANGES = """
from sync.models import RoleChange
result = list(RoleChange.objects.order_by("requested_at").values_list("status", flat=True))
"""
# The backup goes as far as the promise to take the role, but does not tell it to the primary.
PROMISE = """
import uuid
from sync import act, journal
from sync.models import RoleChange
from sync.role_changes.drive import _ask_for_handover
from sync.rules import events as e
_ask_for_handover(RoleChange.objects.get(pk=uuid.UUID({id!r})))
act.deliver(e.Prepared(journal.read().op.op_id))
"""
# What the primary does when it hears the promise, while the backup cannot be reached.
YIELD = """
from sync import act, journal
from sync.rules import events as e
from sync.rules.facts import Header, Head
from sync.peer.messages import Status
from sync import probes
op = journal.read().op
header = probes.latest_status().header
act.deliver(e.ReadyReceived(header, op.op_id, op.new_term, header.head, "none"))
"""
GRANT = """
from sync import act, journal
from sync.rules.effects import SendGrant
op = journal.read().op
act.carry_out((SendGrant(op.op_id, op.new_term),))
"""
# The primary offers its role, and the offer never arrives.
ASK_AND_FORGET = """
from sync import journal
from sync.peer import identity, messages
from sync.peer.client import PeerClient
from sync.rules.facts import header_of
ask = messages.HandoverRequest(
    header=header_of(journal.read()),
    change_id={id!r},
    want_final_sync=True,
    requested_by="anna",
    schema=identity.schema_digest(),
    build=identity.product_build(),
)
with PeerClient.to_peer() as client:
    client.ask(ask, messages.Offer)
"""
CANCEL_ANOTHER = """
from sync import journal
from sync.peer import messages
from sync.peer.client import PeerClient
from sync.rules.facts import header_of
message = messages.Cancel(header_of(journal.read()), "0" * 32, None, "late")
with PeerClient.to_peer() as client:
    client.ask(message, messages.Done)
"""
# Between the look whether a data-sync runs and the beginning of the own one, another one begins.
DRIVE_BESIDE_A_SYNC = """
import threading
import time
import uuid
from appliances.choices import SyncStatus, SyncTrigger
from sync import role_changes
from sync.datasync import lease, pull
from sync.models import RoleChange
RoleChange.objects.update(want_final_sync=True)
look, other = pull.is_running, []
def end():
    time.sleep(1)
    lease.end(other[0], SyncStatus.SUCCESS)
def look_too_early():
    runs = look()
    if not other:
        other.append(lease.claim(SyncTrigger.INTERVAL))
        threading.Thread(target=end).start()
    return runs
pull.is_running = look_too_early
try:
    role_changes.drive(uuid.UUID({id!r}))
finally:
    pull.is_running = look
"""
CANCEL = "from sync import role_changes; role_changes.cancel('anna')"
# As a turn does: report the health of the appliance, then look at the peer.
LOOK = "from sync import health, role_changes; health.write(health.Health(True, '')); role_changes.look()"
INITIALISE = """
from sync import journal
from dataclasses import replace
with journal.locked() as held:
    held.state = replace(held.state, initialised=True)
"""

AHEAD = """
from sync import journal
from dataclasses import replace
from sync.rules.facts import Head
with journal.locked() as held:
    held.state = replace(held.state, head=Head(held.state.term, 9))
"""


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box]]:
    """Two appliances with the same inter-appliance key."""
    folder: Path = tmp_path_factory.mktemp("roles")
    one, two = Box(folder / "1", "127.0.0.31", name="site1"), Box(folder / "2", "127.0.0.32", name="site2")
    try:
        for box in (one, two):
            box.set_key(KEY)
            box.start()
        yield one, two
    finally:
        one.close()
        two.close()


@pytest.fixture
def pair(boxes: tuple[Box, Box]) -> Iterator[tuple[Box, Box]]:
    """The two, freshly paired: the first is primary, the second an initialised backup."""
    primary, backup = boxes
    answer = primary.establish(backup)
    assert "error" not in answer, answer
    backup.run(INITIALISE)
    backup.run(LOOK)
    yield primary, backup
    for box in boxes:
        if box.web is None:
            box.start()
        box.set_key(KEY)
        box.leave()
        box.run("from sync.models import RoleChange; RoleChange.objects.all().delete()")


def begin(box: Box, role: str, *, without_peer: bool = False) -> str:
    return str(box.run(BEGIN.format(role=role, without_peer=without_peer)))


def refused(box: Box, role: str, *, without_peer: bool = False) -> str:
    answer = box.try_run(BEGIN.format(role=role, without_peer=without_peer))
    assert answer.get("error") == "ChangeRefused", answer
    return str(answer["text"])


def states(pair: tuple[Box, Box]) -> tuple[str, str]:
    one, two = (str(box.run(STATE)) for box in pair)
    return one, two


def test_a_swap_goes_there_and_back(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    backup.run(DRIVE.format(id=begin(backup, "PRIMARY")))
    assert states(pair) == ("b_idle", "p_active")
    primary.run(DRIVE.format(id=begin(primary, "PRIMARY")))
    assert states(pair) == ("p_active", "b_idle")
    assert primary.run(CHANGES) == backup.run(CHANGES) == ["completed", "completed"]


def test_a_swap_waits_for_a_data_sync_that_begins_just_before_its_own(pair: tuple[Box, Box]) -> None:
    _, backup = pair
    backup.run(DRIVE_BESIDE_A_SYNC.format(id=begin(backup, "PRIMARY")))
    assert backup.run(CHANGES) == ["completed"]
    assert states(pair) == ("b_idle", "p_active")


def test_cancelling_before_the_hand_over_leaves_both_as_they_were(pair: tuple[Box, Box]) -> None:
    _, backup = pair
    begin(backup, "PRIMARY")
    backup.run(CANCEL)
    assert states(pair) == ("p_active", "b_idle")
    assert backup.run(CHANGES) == ["cancelled"]


def test_a_primary_is_released_when_its_offer_was_lost(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    change = begin(backup, "PRIMARY")
    backup.run(ASK_AND_FORGET.format(id=change))
    assert states(pair) == ("p_draining", "b_idle")
    backup.run(CANCEL)
    primary.run(LOOK)
    assert states(pair) == ("p_active", "b_idle")
    assert primary.run(CHANGES) == backup.run(CHANGES) == ["cancelled"]


def test_a_promise_cannot_be_cancelled_once_the_primary_has_yielded(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    primary.run(LOOK)
    backup.run(PROMISE.format(id=begin(backup, "PRIMARY")))
    backup.stop_web()
    primary.run(YIELD)
    assert states(pair) == ("b_yielded", "b_ready")
    answer = backup.try_run(CANCEL)
    assert "handed over" in answer["text"]
    backup.start()
    primary.run(GRANT)
    assert states(pair) == ("b_idle", "p_active")
    assert primary.run(CHANGES) == backup.run(CHANGES) == ["completed"]


def test_a_promise_can_be_cancelled_while_the_primary_keeps_its_role(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    backup.run(PROMISE.format(id=begin(backup, "PRIMARY")))
    backup.run(CANCEL)
    primary.run(LOOK)
    assert states(pair) == ("p_active", "b_idle")


def test_whoever_has_yielded_to_a_dead_peer_can_take_the_role_back(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    primary.run(LOOK)
    backup.run(PROMISE.format(id=begin(backup, "PRIMARY")))
    backup.stop_web()
    primary.run(YIELD)
    begin(primary, "PRIMARY")
    assert primary.run(STATE) == "p_active"
    backup.start()
    backup.run(LOOK)
    assert states(pair) == ("p_active", "b_idle")


def test_cancelling_one_change_leaves_another_alone(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    begin(backup, "PRIMARY")
    primary.run(CANCEL_ANOTHER)
    assert backup.run(CHANGES) == ["running"]


def test_a_peer_that_answers_with_another_key_does_not_count_as_gone(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    primary.set_key("QQQQ-QRBA-CMDY-XV4W-W3NC-KTXL-T7SA-ABTZ-SBJB-W6PI-QBCI-OLPO-GVFQ")
    text = refused(backup, "PRIMARY")
    assert "cannot be dealt with" in text
    assert states(pair) == ("p_active", "b_idle")


def test_a_dead_primary_in_a_swap_does_not_keep_the_backup_from_taking_over(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    begin(backup, "PRIMARY")
    primary.stop_web()
    begin(backup, "PRIMARY")
    assert backup.run(STATE) == "p_active"
    assert backup.run(CHANGES) == ["cancelled", "completed"]


def test_without_its_peer_a_primary_steps_down_only_when_told_so(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    backup.stop_web()
    assert "cancelled" in refused(primary, "BACKUP")
    assert primary.run(STATE) == "p_active"
    begin(primary, "BACKUP", without_peer=True)
    assert primary.run(STATE) == "b_idle"


def test_two_backups_find_a_primary_again_by_one_click(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    backup.stop_web()
    begin(primary, "BACKUP", without_peer=True)
    backup.start()
    begin(backup, "PRIMARY")
    assert states(pair) == ("b_idle", "p_active")


def test_an_old_primary_that_meets_a_higher_term_stops_and_steps_down(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    primary.stop_web()
    begin(backup, "PRIMARY")
    primary.start()
    primary.run(LOOK)
    assert states(pair) == ("p_superseded", "p_active")
    begin(primary, "BACKUP")
    assert states(pair) == ("b_idle", "p_active")


SHARE = """
from appliances.models import IPConfig, SharedIP
SharedIP.objects.create(address="127.0.0.1")
IPConfig.objects.create(address="127.0.0.1", prefix_length=8, interface="lo", enabled={enabled})
"""
UNSHARE = """
from appliances.models import IPConfig, SharedIP
IPConfig.objects.all().delete(), SharedIP.objects.all().delete()
"""
PROPOSE_AND_FIX = """
from sync import role_changes
it = role_changes.propose()
result = [it.choice.criterion, it.own.holds_shared_ip, it.peer.holds_shared_ip, role_changes.fix("anna").reason]
"""


@pytest.mark.parametrize("pressed_on", ["holder", "other"])
def test_two_primaries_are_told_apart_by_who_holds_the_shared_ip(pair: tuple[Box, Box], pressed_on: str) -> None:
    """The old primary holds the address: it stays primary although the other one has the newer term and settings."""
    holder, other = pair
    holder.stop_web()
    begin(other, "PRIMARY")
    holder.start()
    try:
        holder.run(SHARE.format(enabled=True))
        other.run(SHARE.format(enabled=False))
        criterion, own, peers, reason = (holder if pressed_on == "holder" else other).run(PROPOSE_AND_FIX)
        assert criterion == "holds_shared_ip"
        assert (own, peers) == ((True, False) if pressed_on == "holder" else (False, True))
        assert "holds the shared IP" in reason
        assert states(pair) == ("p_active", "b_idle")
        assert other.run(STATUS_OF_PEER) == [["127.0.0.1", True, True]]
    finally:
        for box in pair:
            box.run(UNSHARE)


STATUS_OF_PEER = """
from sync import probes
probes.look_at_peer()
result = [[it.address, it.is_held, it.has_carrier] for it in probes.latest_status().shared_ips]
"""
POLL_AGAIN = """
from sync.models import PeerView
PeerView.objects.update(same_role_boottime=None)
"""


def forsake(primary: Box, backup: Box) -> None:
    """The backup takes the role alone and gives it back while the old primary, superseded, answers."""
    primary.stop_web()
    begin(backup, "PRIMARY")
    primary.start()
    primary.run(LOOK)
    begin(backup, "BACKUP")


def test_a_superseded_primary_serves_again_when_the_peer_has_no_newer_settings(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    forsake(primary, backup)
    assert states(pair) == ("p_superseded", "b_idle")
    primary.run(AHEAD)
    for _ in range(2):
        primary.run(LOOK)
        primary.run(POLL_AGAIN)
    assert states(pair) == ("p_active", "b_idle")


def test_a_backup_with_newer_settings_takes_the_role_of_a_superseded_primary(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    forsake(primary, backup)
    begin(backup, "PRIMARY")
    assert states(pair) == ("b_idle", "p_active")


def test_a_primary_that_does_not_serve_demotes_nobody_for_nothing(pair: tuple[Box, Box]) -> None:
    primary, backup = pair
    forsake(primary, backup)
    before = backup.run("from sync import journal; result = journal.read().term")
    assert "superseded" in refused(primary, "PRIMARY")
    assert backup.run("from sync import journal; result = journal.read().term") == before


FIX = "from sync import role_changes; result = role_changes.fix('anna').reason"
BE_PRIMARY_TOO = """
from dataclasses import replace
from sync import journal
from appliances.choices import State
with journal.locked() as held:
    held.state = replace(held.state, state=State.P_ACTIVE, term=1, own_term=1)
"""


@pytest.mark.parametrize("presser", [0, 1], ids=["pressed on the first", "pressed on the second"])
def test_fix_this_error_makes_one_of_two_backups_primary(pair: tuple[Box, Box], presser: int) -> None:
    primary, backup = pair
    backup.stop_web()
    begin(primary, "BACKUP", without_peer=True)
    backup.start()
    pair[presser].run(FIX)
    assert states(pair) == ("p_active", "b_idle")


@pytest.mark.parametrize("presser", [0, 1], ids=["pressed on the first", "pressed on the second"])
def test_fix_this_error_leaves_one_of_two_primaries(pair: tuple[Box, Box], presser: int) -> None:
    _, backup = pair
    backup.run(BE_PRIMARY_TOO)
    pair[presser].run(FIX)
    assert sorted(states(pair)) == ["b_idle", "p_active"]
    for box in pair:
        box.run(LOOK)
    assert sorted(states(pair)) == ["b_idle", "p_active"]


@pytest.mark.parametrize("presser", [0, 1], ids=["pressed on the first", "pressed on the second"])
@pytest.mark.parametrize("is_ahead", [False, True], ids=["older settings", "newer settings"])
def test_fix_this_error_mends_a_pair_where_nobody_serves(
    pair: tuple[Box, Box], presser: int, *, is_ahead: bool
) -> None:
    primary, backup = pair
    forsake(primary, backup)
    if is_ahead:
        primary.run(AHEAD)
    assert "Neither appliance serves" in refused(primary, "BACKUP")
    assert states(pair) == ("p_superseded", "b_idle")
    pair[presser].run(FIX)
    assert states(pair) == (("p_active", "b_idle") if is_ahead else ("b_idle", "p_active"))


STAYS = "from sync import role_changes; result = role_changes.propose().stays_here"
# The peer's own press of the button hands the role over just when it has been asked to be backup.
FIX_WHILE_THE_PEER_DOES = """
import sys
from dataclasses import replace
from sync import role_changes
from sync.peer import messages
from sync.role_changes import answers
fix = sys.modules["sync.role_changes.fix"]  # the package calls its function so
ask = fix._ask
def ask_and_be_asked(message):
    done = ask(message)
    before = replace(done.header, term=message.header.term)  # what the peer sent before it heard the new term
    answers.answer_promote(messages.Promote(before, message.new_term, "bert pressed Fix This Error"))
    return done
fix._ask = ask_and_be_asked
try:
    result = role_changes.fix("anna").status.value
finally:
    fix._ask = ask
"""


def test_fix_this_error_pressed_on_both_at_once_does_not_ask_to_press_again(pair: tuple[Box, Box]) -> None:
    pair[1].run(BE_PRIMARY_TOO)
    winner = next(box for box in pair if box.run(STAYS))
    assert winner.run(FIX_WHILE_THE_PEER_DOES) == "completed"
    assert sorted(states(pair)) == ["b_idle", "p_active"]


def test_without_a_conflict_there_is_nothing_to_fix(pair: tuple[Box, Box]) -> None:
    answer = pair[0].try_run(FIX)
    assert "no conflict" in answer["text"]
    assert states(pair) == ("p_active", "b_idle")
