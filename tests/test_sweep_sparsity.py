from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import DOCUMENTS, QUERIES, load_script
from tests.test_training_frozen import tiny_head

__all__ = ["tiny_head"]


def test_a_sweep_gives_a_row_a_weight_and_a_plot(
    tiny_head: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    texts = {doc_id: f"{title} {text}" for doc_id, (title, text) in DOCUMENTS.items()}
    rows = [
        {"query": f"{text} {word}", "positive": texts[next(iter(judged))]}
        for word in ("open", "write", "file")
        for text, judged in QUERIES.values()
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pipeline = load_script("pipelines/sweep_sparsity")
    command = [
        "x", pairs, tmp_path / "work", "--weights", "0", "1000", "--steps", "12", "--batch-size",
        "4", "--held-out", "4", "--max-length", "16", "--model", tiny_head, "--plot",
        tmp_path / "plot.svg",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    pipeline.main()
    lines = capsys.readouterr().out.splitlines()
    found = [[float(cell) for cell in line.split("|")[1:-1]] for line in lines if "| 0." in line]
    assert [row[0] for row in found] == [0, 1000]
    loose, strict = found
    assert 0 < loose[1] <= 1
    assert strict[2] < loose[2]
    assert strict[4] < loose[4]
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    pipeline.main()
    assert len(capsys.readouterr().out.splitlines()) == len(lines)
