"""Fix This Error: both appliances have the same role. Show the evidence, decide, and change the roles, loser first."""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Max
from django.utils import timezone

from appliances import selectors, shared_ips
from appliances.choices import ChangeKind, ChangeStatus, ChangeStep, Role
from appliances.models import SupportSession
from sync import history, journal, overview
from sync.errors import ChangeRefused, PeerError
from sync.models import RoleChange
from sync.peer import messages
from sync.peer.client import PeerClient
from sync.role_changes.record import deliver_or_refuse, look, running
from sync.rules import events as e
from sync.rules.conflict import Choice, Evidence, decide, is_conflict
from sync.rules.due import PROBE_TOTAL_SECONDS
from sync.rules.facts import Header, ballot, header_of


@dataclass(frozen=True)
class Proposal:
    """What Fix This Error would do, and why: the evidence of both, and who is to be primary."""

    own: Evidence
    peer: Evidence
    peer_header: Header
    choice: Choice

    @property
    def stays_here(self) -> bool:
        """Whether this appliance is to be primary."""
        return self.choice.winner == self.own.guid


def own_evidence() -> Evidence:
    """What speaks for this appliance as primary."""
    state, relationship = journal.read(), selectors.relationship()
    newest = SupportSession.objects.aggregate(newest=Max("started_at"))["newest"]
    return Evidence(
        guid=selectors.this_appliance().guid,
        has_site_name=relationship is not None
        and _has_site_name(selectors.site().host_name, relationship.reverse_host, relationship.peer_host),
        initialised=state.initialised,
        head=state.head,
        own_term=state.own_term,
        is_normal_primary=state.parity == 0,
        holds_shared_ip=shared_ips.holds_one(),
        clients=SupportSession.objects.filter(ended_at=None).count(),
        newest_session=newest.timestamp() if newest else 0.0,
    )


def _has_site_name(site: str, own: str, peer: str) -> bool:
    """Whether the site's name leads to this appliance's address and not to the peer's."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        found = [pool.submit(_addresses, name) for name in (site, own, peer)]
        resolved, mine, theirs = (future.result() for future in found)
    return bool(resolved & mine) and not resolved & theirs


def _addresses(name: str) -> set[str]:
    try:
        return {str(ipaddress.ip_address(name))}
    except ValueError:
        pass
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def answer_evidence(message: messages.EvidenceRequest) -> messages.EvidenceReply:
    """The peer asks for the evidence of this appliance."""
    return messages.EvidenceReply(header_of(journal.read()), own_evidence())


def propose() -> Proposal:
    """What Fix This Error would do now.

    Raises:
        ChangeRefused: there is no conflict, or the peer cannot be asked.
    """
    seen, peer = look()
    state = journal.read()
    if peer is None:
        raise ChangeRefused(
            f"The peer cannot be asked. {seen.detail}",
            remedy="Use the TCP connection between the two first, or press Become Backup on the one you choose.",
        )
    if not is_conflict(state, peer):
        raise ChangeRefused("There is no conflict: the two appliances have different roles.")
    if state.op is not None or peer.op is not None or running() is not None:
        raise ChangeRefused("A role change is in progress.", remedy="Wait for its end, or cancel it.")
    try:
        with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
            reply = client.ask(messages.EvidenceRequest(header_of(state)), messages.EvidenceReply)
    except PeerError as error:
        raise ChangeRefused(f"The peer gave no evidence: {error.message}", remedy=error.remedy) from error
    own = own_evidence()
    return Proposal(own, reply.evidence, reply.header, decide(own, reply.evidence))


def fix(requested_by: str) -> RoleChange:
    """One appliance is primary and the other its backup, as `propose` says; the caller asks for a data-sync then.

    The loser is durably backup before the winner begins a new term: at worst, when the line breaks in between, both are
    backup, and pressing again is safe.

    Raises:
        ChangeRefused: nothing was changed, or the peer did not confirm its part; the message says which.
    """
    it, known = propose(), overview.now()
    evidence: dict[str, Any] = {
        "requested_by": requested_by,
        "criterion": it.choice.criterion,
        "compared": [[known.host_name, asdict(it.own)], [known.peer_name, asdict(it.peer)]],
    }
    state = journal.read()
    parity = state.parity if it.stays_here else 1 - state.parity
    term = ballot(parity, max(state.term, it.peer_header.term))
    reason = f"{requested_by} pressed Fix This Error"
    outcome = None
    if it.stays_here:
        done = _ask(messages.Demote(header_of(state), term, reason))
        outcome = deliver_or_refuse(e.BecomePrimary(done.header, demoted_for=term), evidence=evidence)
    else:
        if state.role == Role.PRIMARY:
            outcome = deliver_or_refuse(e.BecomeBackup(it.peer_header, without_peer=False), evidence=evidence)
        if outcome is None or not outcome.is_refused:  # else this one is not backup: nobody is promoted beside it
            _ask(messages.Promote(header_of(journal.read()), term, reason))
    # Where both pressed at once, the peer may have done it.
    if outcome is not None and outcome.is_refused and not _has_been_done(it):
        raise ChangeRefused(outcome.refusal, remedy="Press Fix This Error again.")
    told = it.choice.told(known.host_name if it.stays_here else known.peer_name)
    history.record("role_change.fixed", f"Fix This Error: {told}", evidence=evidence)
    return RoleChange.objects.create(
        kind=ChangeKind.CONFLICT,
        target_role=Role.PRIMARY if it.stays_here else Role.BACKUP,
        requested_by=requested_by,
        status=ChangeStatus.COMPLETED,
        step=ChangeStep.PROMOTED,
        reason=told,
        finished_at=timezone.now(),
    )


def _has_been_done(it: Proposal) -> bool:
    """Look at both again: whether the conflict is over, as was proposed."""
    _, peer = look()
    state = journal.read()
    is_as_proposed = state.role == (Role.PRIMARY if it.stays_here else Role.BACKUP)
    return is_as_proposed and peer is not None and not is_conflict(state, peer)


def _ask(message: messages.Demote | messages.Promote) -> messages.Done:
    try:
        with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
            return client.ask(message, messages.Done)
    except PeerError as error:
        raise ChangeRefused(
            f"The peer did not confirm: {error.message}", remedy="Press Fix This Error again when it answers."
        ) from error
