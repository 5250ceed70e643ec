from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import QUERIES, load_script


def test_both_dtypes_are_measured(
    tiny_dense: Path,
    tiny_sparse: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    benchmark = load_script("benchmarks/encoding_effect")
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    command = ["x", tmp_path / "work", beir_folder, "--dense", tiny_dense, "--sparse", tiny_sparse]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    benchmark.main()
    for line, branch in zip(
        capsys.readouterr().out.splitlines()[-2:], ("sparse", "dense"), strict=True
    ):
        row = [cell.strip() for cell in line.split("|")]
        assert row[2] == branch
        assert int(row[4]) == len(QUERIES)
        assert 0 < float(row[5]) <= 1
        assert 0 < float(row[9]) < 0.05
