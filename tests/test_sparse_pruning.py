from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import DOCUMENTS, load_script


def test_the_table_has_a_row_a_setting(
    tiny_sparse: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    benchmark = load_script("benchmarks/sparse_pruning")
    command = ["x", beir_folder, tmp_path / "work", "--model", tiny_sparse, "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "uint8" in line]
    assert len(rows) == len(benchmark.SETTINGS) - 1
    terms = {(row[0], row[1]): row[5] for row in rows}
    assert terms["top 32", "all"].startswith("32,")
    assert terms["all", "top 10"].endswith(", 10")
    size = sum(path.stat().st_size for path in (tmp_path / "work" / "index-1").iterdir())
    assert rows[0][6] == f"{size / 1e6:.2f}"
    assert len(DOCUMENTS) == 10
