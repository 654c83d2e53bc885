"""Everything that can go wrong between the two appliances; the docstring of each class is what the user reads.

    SyncError
    |-- Refused                 this request cannot be granted; nothing was changed
    |   |-- ChangeRefused       a role change that the rules do not allow now
    |   |-- EstablishRefused    establishing failed at a named step
    |   `-- SyncRefused         a data-sync that must not happen
    |-- PeerError               the peer, or the way to it
    |   |-- PeerSilent          no answer in time: the only kind that counts as failure
    |   |-- PeerUntrusted       somebody answered who is not the peer, or the key differs
    |   |-- PeerRefused         the peer answered and refused; carries its code and text
    |   `-- PeerMisbehaved      the peer answered something that is not of the protocol
    |-- NotStored               this appliance's disk or database failed; nothing half-written is used
    `-- MessageRefused          a message from outside that is not acceptable (the answering side)

Each carries `code` (stable, for API and log), `http_status` and `retryable`. `remedy` says what to do.
"""

from __future__ import annotations

from typing import ClassVar

from appliances.choices import EstablishStep


class SyncError(Exception):
    """Something went wrong between the appliances."""

    code: ClassVar[str] = "sync_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.remedy = remedy
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Refused(SyncError):
    """This cannot be done now; nothing was changed."""

    code = "refused"
    http_status = 409


class ChangeRefused(Refused):
    """The role change was refused; nothing was changed."""

    code = "change_refused"


class EstablishRefused(Refused):
    """The relationship was not established; nothing was changed on either appliance."""

    code = "establish_refused"

    def __init__(self, step: EstablishStep, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.step = step


class SyncRefused(Refused):
    """The data-sync was refused; the data of this appliance is as it was."""

    code = "sync_refused"

    def __init__(self, reason: str, message: str = "", *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class NotStored(SyncError):
    """This appliance could not store what was received; `reason` says more exactly why."""

    code = "not_stored"
    http_status = 507
    retryable = True

    def __init__(self, message: str = "", *, remedy: str = "", reason: str = "not_stored") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class PeerError(SyncError):
    """The peer could not be asked."""

    code = "peer_error"
    http_status = 502


class PeerSilent(PeerError):
    """The peer did not answer in time."""

    code = "peer_silent"
    http_status = 504
    retryable = True

    def __init__(self, message: str = "", *, step: EstablishStep = EstablishStep.TCP, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.step = step


class PeerUntrusted(PeerError):
    """What answered at the peer's address could not prove to be the peer."""

    code = "peer_untrusted"

    def __init__(
        self, message: str = "", *, step: EstablishStep = EstablishStep.KEY, remedy: str = "", peer_code: str = ""
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.step = step
        self.peer_code = peer_code


class PeerRefused(PeerError):
    """The peer refused the request."""

    code = "peer_refused"

    def __init__(self, message: str, *, peer_code: str, status: int, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.peer_code = peer_code
        self.status = status


class PeerMisbehaved(PeerError):
    """The peer's answer is not of the protocol."""

    code = "peer_misbehaved"


def code_of(error: SyncError) -> str:
    """The most exact code of an error: the one that the peer stated, where it stated one."""
    if isinstance(error, SyncRefused | NotStored):
        return error.reason
    return getattr(error, "peer_code", "") or error.code


class MessageRefused(SyncError):
    """The message was not accepted."""

    code = "message_refused"
    http_status = 403

    def __init__(self, reason: str, message: str = "", *, status: int = 403) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.status = status
