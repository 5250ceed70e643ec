from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hybrid.errors import MissingPackageError, require


def test_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingPackageError, match=r"hybrid-retrieval\[cpu\]"):
        require("no_such_package_at_all", extra="cpu", purpose="dense search")


def test_broken_package_reads_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise ImportError('libgomp is missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingPackageError, match="cannot be imported: libgomp is missing"):
        require("broken_package", extra="cpu", purpose="dense search")


def test_package_lacking_a_dependency_reads_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking_package.py").write_text("import another_absent_package")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingPackageError, match="lacks 'another_absent_package'"):
        require("lacking_package", extra="cpu", purpose="dense search")


def test_import_hybrid_loads_nothing_heavy() -> None:
    code = (
        "import sys, hybrid; heavy = ('torch', 'faiss', 'numba', 'ray', 'optuna', 'scipy'); "
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
