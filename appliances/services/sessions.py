"""Web sessions of people."""

from __future__ import annotations

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone

from appliances.models import Account


def end_sessions() -> int:
    """End the web sessions of everybody but those who may switch roles; the number ended.

    Whoever may switch roles has to see how the swap goes; the pages themselves refuse changes meanwhile.
    """
    allowed = Account.objects.with_perm("appliances.switch_roles", backend="django.contrib.auth.backends.ModelBackend")
    keep = {str(pk) for pk in allowed.values_list("pk", flat=True)}
    ended = [
        session.pk
        for session in Session.objects.filter(expire_date__gt=timezone.now())
        if session.get_decoded().get(SESSION_KEY) not in keep
    ]
    Session.objects.filter(pk__in=ended).delete()
    return len(ended)


def forget_expired() -> int:
    """Delete the web sessions that have expired; their number."""
    return Session.objects.filter(expire_date__lt=timezone.now()).delete()[0]
