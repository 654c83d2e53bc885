"""`become_backup`: what Become Backup on the Failover page does."""

from appliances.choices import Role
from sync.management.shell import RoleCommand


class Command(RoleCommand):
    """See RoleCommand."""

    help = "Make this appliance backup. Exit codes: 0 done, 1 refused, 2 cancelled or not finished in time."
    target = Role.BACKUP
    loss_text = (
        "This appliance becomes backup even if its peer cannot be contacted. Nobody serves then until an appliance is "
        "made primary. The last data-sync: {age}."
    )
