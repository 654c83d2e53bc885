"""The commands by name: who may use each, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from appliances.choices import ChangeStatus, Role
from appliances.models import Account
from sync import role_changes, tasks
from sync.api import answers
from sync.api.parameters import switch
from sync.api.xml import element, error
from sync.errors import SyncError
from sync.models import RoleChange

STARTED = "Successfully started data sync. Role change will occur upon successful completion."
CHANGED = "Successfully changed role."
WAIT_SECONDS = 25.0  # below the 30 s after which common clients and balancers give a request up


@dataclass(frozen=True)
class Command:
    """One value of `action`. `is_open` needs no permission for the command API; `changes` is refused to HEAD."""

    run: Callable[[Account, Mapping[str, str], str], Element]
    is_open: bool = False
    changes: bool = False


def set_failover_role(account: Account, parameters: Mapping[str, str], address: str) -> Element:
    """Ask for a role of this appliance; without a data-sync the answer waits for the end.

    As documented, `force` matters to become backup: a backup whose primary does not answer becomes primary without it,
    because that is what the command is for. A primary that has stopped serving serves again with it (row 31).
    """
    wanted = parameters.get("role", "")
    if wanted not in (Role.PRIMARY, Role.BACKUP):
        return error("The parameter role must be primary or backup.")
    target = Role(wanted)
    want_final_sync, without_peer = switch(parameters, "data_sync_first"), switch(parameters, "force")
    if role_changes.has(target) and role_changes.running() is None:
        return element("success", CHANGED)
    try:
        change = role_changes.request(
            target,
            want_final_sync=want_final_sync,
            without_peer=without_peer,
            accepts_loss=True,
            requested_by=f"{account.username} (API, {address})",
        )
        tasks.start_role_change(change)
    except SyncError as refusal:
        return error(str(refusal))
    if want_final_sync and change.status == ChangeStatus.RUNNING:
        return element("success", STARTED)
    return _outcome(role_changes.wait(change.pk, WAIT_SECONDS))


def _outcome(change: RoleChange) -> Element:
    if change.status == ChangeStatus.COMPLETED:
        return element("success", CHANGED)
    if change.status == ChangeStatus.RUNNING:
        return error(
            f"The role change is still in progress after {WAIT_SECONDS:.0f} s. Step: {change.get_step_display()}. "
            "Use check_health to see how it ends."
        )
    how, where = change.get_status_display(), change.get_step_display()
    return error(f"The role was not changed. {how} at the step {where}: {change.reason}")


COMMANDS = {
    "check_health": Command(lambda account, parameters, address: answers.check_health()),
    "get_appliances": Command(lambda account, parameters, address: answers.appliances()),
    "get_api_info": Command(lambda account, parameters, address: answers.api_information(account), is_open=True),
    "set_failover_role": Command(set_failover_role, changes=True),
}
