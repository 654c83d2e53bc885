"""What an appliance was started with is known to the commands of the shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliances.host import kept_environment

ROOT = Path(__file__).resolve().parents[3]
PRINT = "from failover_site import settings as s; print(s.HOST_NAME, *s.LISTEN, s.ALLOW_LOOPBACK_TARGETS)"


def seen_by(data_dir: Path, *arguments: str, **environment: str) -> str:
    """What the settings of another process say, started as a command of the shell."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT, *arguments],
        env={"DATA_DIR": str(data_dir), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_command_with_nothing_but_the_data_folder_goes_by_what_the_appliance_was_started_with(tmp_path: Path) -> None:
    started = {"HOST_NAME": "site1.example.com", "LISTEN": "127.0.0.21:8443", "ALLOW_LOOPBACK_TARGETS": "1"}
    kept_environment.keep(tmp_path, started)
    assert seen_by(tmp_path, "sync_now") == "site1.example.com 127.0.0.21:8443 True"
    assert seen_by(tmp_path, "sync_now", HOST_NAME="other.example.com").startswith("other.example.com")


def test_a_start_goes_by_its_own_environment_and_not_by_the_start_before(tmp_path: Path) -> None:
    kept_environment.keep(tmp_path, {"HOST_NAME": "site1.example.com", "LISTEN": "127.0.0.21:8443"})
    assert "127.0.0.21" not in seen_by(tmp_path, "appliance")


def test_only_this_user_can_read_it_and_it_holds_no_password(tmp_path: Path) -> None:
    secret = "a-password-that-stays-out"
    urls = {"DATABASE_URL": f"postgres://me:{secret}@192.0.2.1/site", "REDIS_URL": f"redis://:{secret}@192.0.2.1/1"}
    kept_environment.keep(tmp_path, {**urls, "SECRET_KEY": secret, "HOST_NAME": "site1.example.com"})
    path = tmp_path / kept_environment.FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret not in path.read_text()
    assert kept_environment.kept(tmp_path) == {"HOST_NAME": "site1.example.com"}


def test_a_damaged_or_missing_file_is_as_none(tmp_path: Path) -> None:
    assert kept_environment.kept(tmp_path) == {}
    (tmp_path / kept_environment.FILE_NAME).write_text("{")
    assert kept_environment.kept(tmp_path) == {}
