"""Every message between the two appliances: one frozen dataclass a request and a reply, parsed strictly.

The body of a message is JSON. `parse` accepts exactly the fields of the dataclass with exactly their types, so that
nobody behind it reads a raw dict. Durations are seconds, sizes bytes, moments Unix seconds (UTC).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import types
import typing
from enum import Enum
from functools import cache
from typing import Any, ClassVar, TypeVar

from appliances.shared_ips import SharedAddress
from sync.errors import PeerMisbehaved
from sync.rules.conflict import Evidence
from sync.rules.facts import Head, Header
from sync.rules.progress import RunningSync
from sync.rules.timing import DERIVED, Entered
from sync.rules.verified import Verified

PROTOCOL = "peer-v1"
LARGEST = 2**63 - 1  # what a column of the database holds; NaN and the infinities are beyond it
MAX_MESSAGE_BYTES = 1024 * 1024  # a manifest lists tables and origins, never rows or files


@dataclasses.dataclass(frozen=True)
class Message:
    """A request or a reply.

    `path` is where a request is sent; `needs_challenge` marks what changes a role. `may_repeat` marks what may be
    asked twice without harm, so that it is sent again when a kept-open connection turns out to be dead.
    """

    path: ClassVar[str] = ""
    needs_challenge: ClassVar[bool] = False
    may_repeat: ClassVar[bool] = False


@dataclasses.dataclass(frozen=True)
class Status(Message):
    """How an appliance is: request and reply alike.

    `shared_ips` are the addresses ticked there, as they are there now; `addresses` are all that its interfaces have,
    each as address/prefix. `takeover_after` and `takeover_times` are the times after which a backup takes over by
    itself, the acknowledged ones those that a primary keeps to. `announcement` names what the backup asks of the
    primary; the primary repeats it in `acknowledged` once it has heard of it.
    `can_serve`: its web server and its database work, so that a primary that is confirming its role may serve as soon
    as this is answered. `verified` tells of its stored files, `running_sync` of the data-sync that it pulls.
    `differing_objects`: while it waits as superseded primary, in how many objects its settings differ from the peer's.
    """

    path: ClassVar[str] = "status"
    may_repeat: ClassVar[bool] = True
    header: Header
    guid: str
    host_name: str
    site_host_name: str
    product: str
    build: str
    schema: str
    clock: float
    free_bytes: int
    healthy: bool
    health_message: str
    backup_operations: bool
    data_sync_interval: float
    takeover_after: float | None
    test_ips: list[str]
    acknowledged_timeout: float | None
    last_sync_at: float | None
    last_sync_status: str
    change: str
    pins: list[str]
    shared_ips: list[SharedAddress] = dataclasses.field(default_factory=list)
    addresses: list[str] = dataclasses.field(default_factory=list)
    takeover_times: Entered = DERIVED
    acknowledged_times: Entered = DERIVED
    differing_objects: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where an address is none."""
        for shared in self.shared_ips:
            ipaddress.ip_address(shared.address)
        for address in self.addresses:
            ipaddress.ip_interface(address)

    announcement: str = ""
    acknowledged: str = ""
    can_serve: bool = True
    verified: Verified = dataclasses.field(default_factory=Verified)
    running_sync: RunningSync | None = None


@dataclasses.dataclass(frozen=True)
class Done(Message):
    """The request was carried out; `header` is the state of the answering appliance afterwards."""

    header: Header


@dataclasses.dataclass(frozen=True)
class Refusal(Message):
    """The answer where a request is not granted.

    `step` is set while a relationship is established. `challenge` comes with the code `clock`: the same request is
    accepted with it, whatever the clocks say.
    """

    code: str
    message: str
    remedy: str = ""
    step: str = ""
    challenge: str | None = None


@dataclasses.dataclass(frozen=True)
class ChallengeRequest(Message):
    """Ask for a challenge, which makes the next message acceptable once, whatever the clocks say."""

    path: ClassVar[str] = "challenge"
    may_repeat: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class Challenge(Message):
    """32 random bytes as hex digits, good for one use within 60 s."""

    challenge: str


@dataclasses.dataclass(frozen=True)
class SwapWish(Message):
    """Primary to backup: somebody pressed Become Backup here; please drive the swap."""

    path: ClassVar[str] = "swap-wish"
    change_id: str
    want_final_sync: bool
    requested_by: str


@dataclasses.dataclass(frozen=True)
class SyncWish(Message):
    """Primary to backup: somebody pressed Sync Now here; please pull."""

    path: ClassVar[str] = "sync-wish"
    requested_by: str


@dataclasses.dataclass(frozen=True)
class HandoverRequest(Message):
    """Backup to primary: please stop taking changes and offer me your role."""

    path: ClassVar[str] = "handover"
    header: Header
    change_id: str
    want_final_sync: bool
    requested_by: str
    schema: str
    build: str


@dataclasses.dataclass(frozen=True)
class Offer(Message):
    """Primary's reply to a handover request: the operation and the term it would promote to."""

    header: Header
    op_id: tuple[int, int]
    new_term: int
    want_final_sync: bool


@dataclasses.dataclass(frozen=True)
class Ready(Message):
    """Backup to primary: everything is applied up to `head`; the GRANT must use `challenge`."""

    path: ClassVar[str] = "ready"
    header: Header
    op_id: tuple[int, int]
    new_term: int
    head: Head
    challenge: str


@dataclasses.dataclass(frozen=True)
class Grant(Message):
    """Old primary, durably backup by now, to backup: the role is yours."""

    path: ClassVar[str] = "grant"
    needs_challenge: ClassVar[bool] = True
    header: Header
    op_id: tuple[int, int]
    new_term: int


@dataclasses.dataclass(frozen=True)
class Cancel(Message):
    """Either side gives the operation up before the role was yielded."""

    path: ClassVar[str] = "cancel"
    header: Header
    change_id: str
    op_id: tuple[int, int] | None
    reason: str


@dataclasses.dataclass(frozen=True)
class Demote(Message):
    """Become backup: the sender takes (or holds) `new_term`."""

    path: ClassVar[str] = "demote"
    needs_challenge: ClassVar[bool] = True
    header: Header
    new_term: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Promote(Message):
    """Become primary in `new_term`, which is of the receiver's parity."""

    path: ClassVar[str] = "promote"
    needs_challenge: ClassVar[bool] = True
    header: Header
    new_term: int
    reason: str


@dataclasses.dataclass(frozen=True)
class EvidenceRequest(Message):
    """Fix This Error was pressed: say what speaks for you as primary."""

    path: ClassVar[str] = "evidence"
    header: Header


@dataclasses.dataclass(frozen=True)
class EvidenceReply(Message):
    """What speaks for the answering appliance."""

    header: Header
    evidence: Evidence


@dataclasses.dataclass(frozen=True)
class Break(Message):
    """The relationship ends; both appliances leave their roles."""

    path: ClassVar[str] = "break"
    needs_challenge: ClassVar[bool] = True
    reason: str


M = TypeVar("M", bound=Message)


def render(message: Message) -> bytes:
    """The JSON body of a message."""
    return json.dumps(vars(message), default=vars, separators=(",", ":"), allow_nan=False).encode()


def parse(kind: type[M], body: bytes) -> M:
    """The message in `body`.

    Raises:
        PeerMisbehaved: not JSON, a missing, unknown or mistyped field, or too large.
    """
    if len(body) > MAX_MESSAGE_BYTES:
        raise PeerMisbehaved(f"{kind.__name__}: {len(body)} bytes are more than {MAX_MESSAGE_BYTES}")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PeerMisbehaved(f"{kind.__name__}: not JSON") from error
    return read(kind, data)


def read(kind: type[M], data: object) -> M:
    """The message in `data`, the value of a JSON document.

    Raises:
        PeerMisbehaved: a missing, unknown or mistyped field.
    """
    return typing.cast(M, _read(kind, data, kind.__name__))


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _read(kind: Any, data: Any, where: str) -> Any:
    """`data` as a value of type `kind`, or PeerMisbehaved."""
    if kind in (str, bool) and type(data) is kind:
        return data  # most of what there is
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast(type, kind))
        if not isinstance(data, dict) or set(data) != set(hints):
            raise PeerMisbehaved(f"{where}: must have exactly the fields {', '.join(hints) or 'none'}")
        values = {name: _read(hint, data[name], f"{where}.{name}") for name, hint in hints.items()}
        try:
            return kind(**values)  # type: ignore[operator]
        except ValueError as error:
            raise PeerMisbehaved(f"{where}: {str(error)[:200]}") from error
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType or origin is typing.Union:
        if data is None and type(None) in arguments:
            return None
        return _read(next(a for a in arguments if a is not type(None)), data, where)
    if origin is list and isinstance(data, list):
        return [_read(arguments[0], item, where) for item in data]
    if origin is dict and isinstance(data, dict):
        return {str(key): _read(arguments[1], value, where) for key, value in data.items()}
    if origin is tuple and isinstance(data, list) and len(data) == len(arguments):
        return tuple(_read(hint, item, where) for hint, item in zip(arguments, data, strict=True))
    if (
        isinstance(kind, type)
        and issubclass(kind, Enum)
        and type(data) is str
        and data in {member.value for member in kind}
    ):
        return kind(data)
    if type(data) in (int, float) and not abs(data) <= LARGEST:
        raise PeerMisbehaved(f"{where}: the number is out of range")
    if kind is float and type(data) in (int, float):
        return float(data)
    if isinstance(kind, type) and type(data) is kind and kind is int:
        return data
    raise PeerMisbehaved(f"{where}: {type(data).__name__} is not acceptable")
