from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import QUERIES, load_script


def test_both_precisions_are_measured(
    tiny_dense: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    benchmark = load_script("benchmarks/encoding_effect")
    command = ["x", tmp_path / "work", beir_folder, "--model", tiny_dense]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    benchmark.main()
    row = capsys.readouterr().out.splitlines()[-1].split("|")
    assert int(row[2]) == len(QUERIES)
    assert 0 < float(row[3]) <= 1
    assert 0 < float(row[7]) < 0.05
