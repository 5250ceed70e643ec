"""A folder in memory where there is one: the campaigns call fsync some hundred thousand times."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.size import SIZE

MEMORY = Path("/dev/shm")


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search in the calling thread: starting threads takes most of the time of a tiny search."""
    for module in ("machine.threads", "index.dense.flat", "index.dense.brute_force"):
        monkeypatch.setattr(f"hybrid.{module}.cpu_count", lambda: 1)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    parent = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="hybrid-faults-", dir=parent))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give full campaigns the hour that one of them may take on a busy machine."""
    if SIZE == "full":
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.timeout(3600))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what each campaign really did, where more than the quick size runs."""
    if SIZE == "quick":
        return
    for report in terminalreporter.getreports("passed"):
        told = ", ".join(f"{name} {value}" for name, value in report.user_properties)
        if told:
            where = report.nodeid.partition("::")[2]
            terminalreporter.write_line(f"{where}: {told}; {report.duration:.0f} s")
