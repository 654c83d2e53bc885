"""The appliances of the end-to-end tests are those that were started, not whoever else answers at their address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.e2e import live


def test_an_address_where_somebody_else_listens_is_named_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FREE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        site = live.LiveAppliance("site1.example.com", "127.0.0.1", port, tmp_path / "site1")
        with pytest.raises(AssertionError, match=f"nobody else listens on 127.0.0.1:{port}"):
            site.start()
    assert site.process is None
    assert not site.data_dir.exists()
