"""Does the web server of this appliance answer? Asked as a client would: a new connection, TLS, a database write.

The keeper asks from a thread of its own, so that a web server that hangs holds nothing up. The question carries a token
and its answer another, both signed with the appliance's own key: nobody else can ask or answer.
"""

from __future__ import annotations

import http.client
import logging
import secrets
import ssl
import threading
from collections.abc import Callable

from django.conf import settings
from django.core import signing

from appliances.host.programs import reachable, split_address
from sync import journal
from sync.rules.timing import Timing

PATH = "/api/portal-check"
TOKEN_SECONDS = 30.0
NOT_YET = "The web server of this appliance has not answered yet."
SILENT = "The web server of this appliance does not answer."
_QUESTION, _ANSWER = "sync.portal.question", "sync.portal.answer"

log = logging.getLogger(__name__)


class Portal:
    """Asks the own web server each interval and knows when the last good answer was asked for.

    `served` is the send time (CLOCK_BOOTTIME seconds) of the last question with a good answer, None before the first.
    """

    def __init__(self, ask: Callable[[float], bool] | None = None) -> None:
        self.served: float | None = None
        self._ask = ask or ask_own_web_server
        self._asked = float("-inf")
        self._asking = threading.Lock()

    def ask_if_due(self, times: Timing) -> None:
        """Ask if it is time to and nobody still waits for an answer; this returns at once."""
        now = journal.boottime()
        if 0 <= now - self._asked < times.interval or not self._asking.acquire(blocking=False):
            return
        self._asked = now
        threading.Thread(target=self._one, args=(now, times.probe), name="portal", daemon=True).start()

    def problem(self, times: Timing) -> str:
        """What is wrong with the web server, as a sentence; empty while it answers."""
        if self.served is None:
            return NOT_YET
        silent = journal.boottime() - self.served
        return SILENT if silent > 2 * times.interval + times.probe else ""

    def _one(self, asked: float, seconds: float) -> None:
        try:
            if self._ask(seconds):
                self.served = asked
        finally:
            self._asking.release()


def ask_own_web_server(seconds: float) -> bool:
    """Whether the own web server answers on a new connection, each step of it within so many seconds."""
    host, port = split_address(settings.LISTEN[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the signed answer takes the place of an authority
    connection = http.client.HTTPSConnection(reachable(host), port, timeout=seconds, context=context)
    token = signing.dumps([secrets.token_hex(16), journal.boottime()], salt=_QUESTION)
    try:
        connection.request("GET", PATH, headers={"X-Token": token, "Connection": "close"})
        reply = connection.getresponse()
        is_good = reply.status == 200 and signing.loads(reply.read(4096).decode(), salt=_ANSWER) == token
    except (OSError, http.client.HTTPException, signing.BadSignature, ValueError) as error:
        log.info("own web server did not answer", extra={"why": str(error)})
        return False
    finally:
        connection.close()
    if not is_good:
        log.info("own web server gave no good answer", extra={"status": reply.status})
    return is_good


def answer(token: str) -> str | None:
    """The signed answer to a question of the keeper of this appliance; None where it is not one, or is too old."""
    try:
        _, asked = signing.loads(token, salt=_QUESTION)
        is_new = 0 <= journal.boottime() - float(asked) <= TOKEN_SECONDS
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return signing.dumps(token, salt=_ANSWER) if is_new else None
