"""Who asks: user name and password, as parameters or in a header, with the same throttle as the log-in pages."""

from __future__ import annotations

import base64

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_credentials
from django.contrib.auth import authenticate
from django.http import HttpRequest

from appliances.models import Account

MAX_USERNAME_CHARACTERS = 150  # as long as an account's name can be
MAX_PASSWORD_CHARACTERS = 4096  # as long as the log-in page takes


def account_for(request: HttpRequest, username: str, password: str) -> Account | None:
    """The active account with this name and password, or None; after too many failures None for a while.

    Failures count with those of the log-in pages, by name and address. Success forgets them. No session is made.
    """
    if not username or not password or "\0" in username:
        return None
    if len(username) > MAX_USERNAME_CHARACTERS or len(password) > MAX_PASSWORD_CHARACTERS:
        return None
    account = authenticate(request, username=username, password=password)
    # The lock-out middleware would replace the answer by a page: the API answers as for wrong credentials.
    request.axes_locked_out = False  # type: ignore[attr-defined]
    if not isinstance(account, Account):
        return None
    if AxesProxyHandler.get_failures(request, get_credentials(username=username)):
        AxesProxyHandler.reset_attempts(username=username, ip_address=request.axes_ip_address)  # type: ignore[attr-defined]
    return account


def may_command(account: Account) -> bool:
    """Whether the account may use the commands that tell of failover or change it."""
    return account.is_active and account.is_superuser and account.may_use_command_api


def may_bring_in(account: Account) -> bool:
    """Whether the account may bring in support sessions and recordings."""
    return account.has_perm("appliances.bring_in_sessions")


def basic(request: HttpRequest) -> Account | None:
    """The account whose name and password stand in the Authorization header (RFC 7617), or None."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return account_for(request, username, password)
