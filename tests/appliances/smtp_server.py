"""The SMTP server of the tests as a process of its own: `smtp_server.py FOLDER OPTIONS`, prints its port.

What it takes it writes to FOLDER as numbered files, the receivers in a first line. OPTIONS is JSON: `starttls`, `tls`
(paths of certificates), `username` and `password` (log-in needed), `refuse` (so many mails are put off first).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Keeper:
    """Writes each mail to the folder."""

    def __init__(self, folder: Path, refuse: int) -> None:
        self.folder = folder
        self.refuse = refuse
        self.count = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd for each mail."""
        if self.refuse:
            self.refuse -= 1
            return "451 try again later"
        self.count += 1
        assert isinstance(envelope.content, bytes)
        receivers = " ".join(envelope.rcpt_tos).encode()
        temporary = self.folder / "incoming"
        temporary.write_bytes(receivers + b"\n" + envelope.content)
        temporary.rename(self.folder / f"{self.count:04}.mail")
        return "250 taken"


def context(path: str | None) -> ssl.SSLContext | None:
    """The TLS side of the server with the certificate in `path`."""
    if path is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    return made


async def main(folder: Path, options: dict[str, Any]) -> None:
    """Serve until the process is ended."""
    expected = (str(options.get("username", "")).encode(), str(options.get("password", "")).encode())

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == expected
        return AuthResult(success=good, handled=False)

    keeper = Keeper(folder, options.get("refuse", 0))
    starttls = context(options.get("starttls"))

    def protocol() -> SMTP:
        return SMTP(
            keeper,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=authenticate,
            auth_required="username" in options,
            auth_require_tls=starttls is not None,
        )

    server = await asyncio.get_running_loop().create_server(
        protocol, host="127.0.0.1", port=0, ssl=context(options.get("tls"))
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
