"""What must be so whatever happens: looked at between any two messages, and after every step.

The truth is kept here, outside of both appliances: what was acknowledged to whom, and who owned which term.
Reads go to the databases directly, where no simulated fault reaches them.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from appliances.choices import State
from sync.rules.facts import BACKUP_STATES, PRIMARY_STATES, Head
from tests.simulation.schedules.appliances import Appliance
from tests.simulation.schedules.world import Violation, World

_JOURNAL = (
    "SELECT state, term, own_term, head_term, head_seq, base_head_term, base_head_seq, op_kind, op_new_term,"
    " op_final_sync, parity, coalesce((SELECT pair_id FROM appliances_failoverrelationship WHERE id = 1), '')"
    " FROM sync_rolejournal WHERE id = 1"
)
_SETTINGS = (
    "SELECT id, name FROM auth_group",
    "SELECT id, username, is_active, email, display_name FROM appliances_account",
    "SELECT id, host_name, name, portal_text FROM appliances_site",
    "SELECT id, from_address, relay_host, username, length(sealed_password), admin_contacts"
    " FROM appliances_emailconfiguration",
    "SELECT id, enable_xml_api FROM appliances_apiconfiguration",
    "SELECT id, name, blob_id FROM appliances_filestorefile",
)
# What a data-sync never touches.
_LOCAL = (
    "SELECT guid, host_name FROM appliances_appliance",
    "SELECT * FROM appliances_backupsettings",
    "SELECT * FROM appliances_certificate",
    "SELECT * FROM appliances_interappliancekey",
    "SELECT * FROM auth_permission",
    "SELECT * FROM django_content_type",
)
# Of the relationship, without what is stamped and learned; it changes with the relationship alone.
_PAIR = (
    "SELECT pair_id, peer_guid, peer_name, peer_host, peer_port, reverse_host, reverse_port, is_founding_primary"
    " FROM appliances_failoverrelationship"
)
ROWS = {
    "session": "SELECT id FROM appliances_supportsession",
    "event": "SELECT id FROM appliances_sessionevent",
    "recording": "SELECT id FROM appliances_recording",
}
_FORCED = (
    "SELECT count(*) FROM sync_statusevent WHERE event IN ('role.16', 'role.18', 'role.20', 'role.25', 'role.26',"
    " 'role.27', 'role.27 stays', 'role.28', 'role.29', 'role.29 stays', 'role.31')"
)
_TAKEN_BACK = "SELECT 1 FROM sync_statusevent WHERE event = 'role.12b'"
_BLOBS = "SELECT blob_id FROM appliances_filestorefile UNION SELECT blob_id FROM appliances_recording"
Term = tuple[str, int]  # of a relationship
Version = tuple[str, Head]


@dataclass(frozen=True)
class Stand:
    """The role journal of one appliance at one moment."""

    state: str
    term: int
    own_term: int
    head: Head
    base_head: Head
    op_kind: str
    op_new_term: int
    op_final_sync: bool
    parity: int
    pair: str

    @property
    def is_primary(self) -> bool:
        """Whether its role is primary."""
        return self.state in PRIMARY_STATES

    @property
    def is_serving(self) -> bool:
        """Whether it serves clients."""
        return self.state == State.P_ACTIVE or (self.state == State.P_DRAINING and not self.op_final_sync)


def stand_of(appliance: Appliance) -> Stand:
    """The role journal as it was committed last, or as the open transaction has it."""
    row = appliance.raw.execute(_JOURNAL).fetchone()
    state, term, own, head_term, head_seq, base_term, base_seq, kind, new_term, final, parity, pair = row
    head, base = Head(head_term, head_seq), Head(base_term, base_seq)
    return Stand(state, term, own, head, base, kind, new_term, bool(final), parity, pair)


def _text_of(appliance: Appliance) -> str:
    """The synchronised settings in one text."""
    rows = [appliance.raw.execute(sql).fetchall() for sql in _SETTINGS]
    return repr([sorted(some, key=repr) for some in rows])


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def settings_of(appliance: Appliance) -> str:
    """A digest of the synchronised settings."""
    return _digest(_text_of(appliance))


def _is_kept(appliance: Appliance, mark: str) -> bool:
    """Whether a configuration backup that the appliance lists holds what was written so."""
    folder = appliance.folder / "configuration-backups"
    files = [folder / key for (key,) in appliance.raw.execute("SELECT id FROM sync_configurationbackup")]
    return any(mark.encode() in gzip.decompress(file.read_bytes()) for file in files if file.is_file())


def local_of(appliance: Appliance) -> str:
    """A digest of what stays on each appliance."""
    rows = [appliance.raw.execute(sql).fetchall() for sql in _LOCAL]
    return hashlib.blake2b(repr(rows).encode(), digest_size=8).hexdigest()


def _pair_of(appliance: Appliance) -> str:
    return repr(appliance.raw.execute(_PAIR).fetchall())


@dataclass
class Truth:
    """What is known of a schedule so far.

    `said`: by which mark a setting that was acknowledged can be known, empty where something was removed; `text`: the
    settings that each appliance held last.
    """

    world: World
    owner: dict[Term, str] = field(default_factory=dict)
    stands: dict[str, Stand] = field(default_factory=dict)
    left: dict[str, set[Term]] = field(default_factory=lambda: {"A": set(), "B": set()})
    contents: dict[Version, str] = field(default_factory=dict)
    handed_over: dict[Term, str] = field(default_factory=dict)
    rows: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in ROWS})
    local: dict[str, str] = field(default_factory=dict)
    lineage: dict[str, frozenset[int]] = field(default_factory=lambda: {"A": frozenset(), "B": frozenset()})
    lineage_of: dict[Version, frozenset[int]] = field(default_factory=dict)
    given_up: dict[str, frozenset[int]] = field(default_factory=dict)
    paired: dict[str, str] = field(default_factory=dict)
    take_overs: dict[str, int] = field(default_factory=dict)
    written: int = 0
    said: dict[int, str] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)
    decided_at: int = 0
    is_planned_only: bool = True

    def start(self) -> None:
        """The beginning is the truth."""
        for appliance in self.world.appliances:
            self.local[appliance.name] = local_of(appliance)
            self.paired[appliance.name] = _pair_of(appliance)
        self.look()

    def give_up_settings(self) -> None:
        """An operator swaps without a data-sync: what was accepted since the last one may be replaced."""
        self.decided_at = self.written

    def decide(self) -> None:
        """An operator changes a role by force or in a conflict: settings may be replaced, and both may serve."""
        self.give_up_settings()
        self.is_planned_only = False

    def take_over(self, appliance: Appliance, rows: str) -> None:
        """The primary has taken these rows over: it answers for what was once acknowledged in them."""
        for write, mark in list(self.said.items()):
            if mark and mark in rows and write not in self.lineage[appliance.name]:
                self.written += 1
                self.said[self.written] = mark
                self.lineage[appliance.name] |= {self.written}
        self._note_contents(appliance, stand_of(appliance))

    def acknowledge(self, appliance: Appliance, mark: str) -> None:
        """A setting was accepted: the page said so."""
        self.written += 1
        self.said[self.written] = mark
        stand = stand_of(appliance)
        if stand.state in BACKUP_STATES:
            raise Violation(f"G4: {appliance.name} is {stand.state} and accepted a setting, which the next sync drops")
        self.lineage[appliance.name] |= {self.written}
        self._note_contents(appliance, stand)

    def look(self) -> None:
        """Compare what the appliances stand for with what they stood for before.

        Raises:
            Violation: something that must never happen has.
        """
        for appliance in self.world.appliances:
            if not appliance.database.in_atomic_block:
                self._look_at(appliance)
        one, other = (self.stands[appliance.name] for appliance in self.world.appliances)
        both_run = all(
            appliance.is_up and self.world.now >= appliance.stopped_until for appliance in self.world.appliances
        )
        if both_run and one.pair == other.pair and one.is_serving and other.is_serving and not self._is_forced():
            raise Violation("I8: two appliances serve after planned swaps alone")

    def _is_forced(self) -> bool:
        """Whether a role was taken without the peer's consent: then both may serve for a while."""
        return not self.is_planned_only or any(
            appliance.raw.execute(_FORCED).fetchone()[0] for appliance in self.world.appliances
        )

    def _look_at(self, appliance: Appliance) -> None:
        now, before = stand_of(appliance), self.stands.get(appliance.name)
        if now == before:
            return
        self.stands[appliance.name] = now
        if before is not None and before.pair != now.pair:
            self._joined(appliance, now)
            before = None
        if before is not None:
            if before.state != now.state or before.term != now.term or before.own_term != now.own_term:
                self.world.note(f"   {appliance.name}: {before.state} -> {now.state}, term {now.own_term}/{now.term}")
            if now.term < before.term:
                raise Violation(f"I2: the term of {appliance.name} fell from {before.term} to {now.term}")
        if now.pair:
            self._own(appliance.name, now)
        if before is not None and now.own_term > before.own_term and self._has_taken_over(appliance):
            self.world.took_over(appliance, now.own_term)
        if now.state == State.P_ACTIVE and now.own_term != now.term:
            raise Violation(f"I6: {appliance.name} serves in term {now.own_term} and knows of {now.term}")
        if before is None or now.head != before.head or now.state != before.state:
            self._heads(appliance, now, before)

    def _has_taken_over(self, appliance: Appliance) -> bool:
        """Whether it has become primary by itself since this was asked last."""
        [count] = appliance.raw.execute("SELECT count(*) FROM sync_statusevent WHERE event = 'role.20'").fetchone()
        before, self.take_overs[appliance.name] = self.take_overs.get(appliance.name, 0), count
        return bool(count > before)

    def _joined(self, appliance: Appliance, now: Stand) -> None:
        """It is in another relationship, or in none. Whoever establishes one agrees to what the backup loses by it."""
        name = appliance.name
        self.paired[name] = _pair_of(appliance)
        self.world.note(f"   {name}: {'is in a new relationship' if now.pair else 'is alone'}")
        if not now.is_primary:
            self.given_up[name] = self.lineage[name] if now.pair else frozenset()

    def _own(self, name: str, now: Stand) -> None:
        term = now.pair, now.own_term
        if now.own_term >= 0 and self.owner.setdefault(term, name) != name:
            raise Violation(f"I1: both appliances have owned term {now.own_term}")
        if now.is_primary and term in self.left[name]:
            raise Violation(f"I1b: {name} is primary again in term {now.own_term}, which it had left")
        if not now.is_primary:
            self.left[name].add(term)

    def _heads(self, appliance: Appliance, now: Stand, before: Stand | None) -> None:
        name = appliance.name
        if before is not None and now.head < before.head:
            raise Violation(f"I3: the settings of {name} went back from {before.head} to {now.head}")
        is_promoted = before is not None and now.own_term > before.own_term
        if now.state == State.B_YIELDED and now.op_final_sync:
            self.handed_over[now.pair, now.op_new_term] = settings_of(appliance)
        elif now.state == State.B_YIELDED:
            self.give_up_settings()  # of a swap without a data-sync: what came in since it was asked for, too
        settings = settings_of(appliance)
        if is_promoted and self.handed_over.get((now.pair, now.own_term), settings) != settings:
            raise Violation(f"I5: {name} took the role over in term {now.own_term} without the newest settings")
        is_backup = bool(now.pair) and not now.is_primary and not is_promoted
        if before is not None and now.head != before.head and is_backup:
            self._applied(appliance, now)
        if is_promoted or now.is_primary or before is None:
            self.lineage_of[now.pair, now.head] = self.lineage[name]
        self._note_contents(appliance, now)

    def _applied(self, appliance: Appliance, now: Stand) -> None:
        """A data-sync replaced the settings: nothing that was acknowledged is lost without an operator's decision.

        What is lost by one can be restored.
        """
        name, new = appliance.name, self.lineage_of.get((now.pair, now.head), frozenset())
        lost = self.lineage[name] - new
        self.lineage[name] = new
        before, text = self.text.get(name, ""), _text_of(appliance)
        for mark in sorted(self.said.get(write, "") for write in lost):
            if mark and mark in before and mark not in text and not _is_kept(appliance, mark):
                raise Violation(f"I13: {mark}, which {name} had acknowledged, is replaced and in no backup of its own")
        is_replaced = text != before  # a change that was taken back leaves nothing that could be
        if is_replaced and any(write > self.decided_at for write in lost - self.given_up.get(name, frozenset())):
            raise Violation(f"G2: settings that {name} had acknowledged were replaced, and nobody decided that")

    def _note_contents(self, appliance: Appliance, stand: Stand) -> None:
        """One head names one content."""
        text = self.text[appliance.name] = _text_of(appliance)
        content = _digest(text)
        if stand.pair and self.contents.setdefault((stand.pair, stand.head), content) != content:
            raise Violation(f"I3: {appliance.name} holds other settings under head {stand.head} than were there before")
        if stand.is_primary:
            self.lineage_of[stand.pair, stand.head] = self.lineage[appliance.name]

    # --- after a step ---------------------------------------------------------------------------------------------

    def look_closely(self) -> None:
        """As `look`, and at every row, file and error."""
        self.look()
        if self.world.errors:
            raise Violation(f"an error was logged: {self.world.errors[0]}")
        held = {kind: [self._ids(appliance, kind) for appliance in self.world.appliances] for kind in ROWS}
        for kind, wanted in self.rows.items():
            missing = wanted - held[kind][0] - held[kind][1]
            if missing:
                raise Violation(f"I4: a {kind} that was committed is on neither appliance: {sorted(missing)[0]}")
        for appliance in self.world.appliances:
            self._note_contents(appliance, self.stands[appliance.name])
            if appliance.raw.execute(_TAKEN_BACK).fetchone():
                raise Violation(f"I17: {appliance.name} took a role back that it had yielded, and the peer may serve")
            is_same = _pair_of(appliance) == self.paired[appliance.name]
            if not is_same or local_of(appliance) != self.local[appliance.name]:
                raise Violation(f"I10: what belongs to {appliance.name} alone was changed")
            self._files(appliance)

    def _files(self, appliance: Appliance) -> None:
        for (blob_id,) in appliance.raw.execute(_BLOBS):
            path = Path(appliance.settings["BLOB_DIR"]) / blob_id[:2] / blob_id[2:]
            if not path.is_file() or not path.stat().st_size:
                raise Violation(f"I4: {appliance.name} has a row whose file is missing or empty: {blob_id[:12]}")

    def _ids(self, appliance: Appliance, kind: str) -> set[str]:
        return {row[0] for row in appliance.raw.execute(ROWS[kind])}

    def differences(self) -> list[str]:
        """In what the two appliances, healed, are not one active primary and its equal backup."""
        found = []
        one, other = (stand_of(appliance) for appliance in self.world.appliances)
        if sorted((one.state, other.state)) != [State.B_IDLE.value, State.P_ACTIVE.value]:
            found.append(f"roles: {one.state}, {other.state}")
        if len({settings_of(appliance) for appliance in self.world.appliances}) > 1:
            found.append("settings")
        for kind, wanted in self.rows.items():
            for appliance in self.world.appliances:
                if wanted - self._ids(appliance, kind):
                    found.append(f"{kind}s on {appliance.name}")
        return found
