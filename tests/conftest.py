"""What all tests share: own folders for each test, and no quiet skips where everything is required."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.test import TransactionTestCase
from pytest_django import Settings

# A busy machine may be slow at any example: how long one takes is not what these tests are about.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"


@pytest.fixture(autouse=True)
def own_folders(settings: Settings, tmp_path: Path) -> None:
    """Files, staged downloads and the health file of one test are out of reach of the next."""
    settings.BLOB_DIR = tmp_path / "blobs"
    settings.STAGING_DIR = tmp_path / "staging"
    settings.HEALTH_FILE = tmp_path / "health.json"


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """What a program sets that was run in this process is out of reach of the next test."""
    before = os.umask(0o022)
    yield
    os.umask(before)


_empty: Any = vars(TransactionTestCase)["_fixture_teardown"]


def _empty_whatever_the_role(case: TransactionTestCase) -> None:
    """The tables are emptied after a test that committed; those of the settings only where nobody has a role."""
    from sync.models import RoleJournal

    RoleJournal.objects.all().delete()
    _empty(case)


setattr(TransactionTestCase, "_fixture_teardown", _empty_whatever_the_role)  # noqa: B010


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although REQUIRE_ALL=1: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report
