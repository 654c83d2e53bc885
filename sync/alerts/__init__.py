"""The mails to the administrators: one when something begins, one when it is over.

`conditions.py` lists what is told, `sync.rules.due` when, `templates/emails/` in which words. An episode is open from
the first mail to the last, so that a condition seen each second is mailed once. Flows never wait for a mail: it is
written into the outbox, and a worker of its own queue sends it.
"""

from sync.alerts.by_name import claim_look_by_name, look_by_name
from sync.alerts.episodes import Watch, establish_refused, examine
from sync.alerts.outbox import flush, is_mail_due

__all__ = [
    "Watch",
    "claim_look_by_name",
    "establish_refused",
    "examine",
    "flush",
    "is_mail_due",
    "look_by_name",
]
