"""`become_primary`: what Become Primary on the Failover page does."""

from appliances.choices import Role
from sync.management.shell import RoleCommand


class Command(RoleCommand):
    """See RoleCommand."""

    help = "Make this appliance primary. Exit codes: 0 done, 1 refused, 2 cancelled or not finished in time."
    target = Role.PRIMARY
    loss_text = (
        "This appliance becomes primary even if its peer cannot be contacted. What was changed on the peer since the "
        "last data-sync ({age}) is missing here. If the peer still serves, both are primary until they see each other. "
        "This is also how a primary that has stopped serving serves again."
    )
