from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import open_source
from tests.conftest import DOCUMENTS, WORDS, load_script
from tests.test_training_frozen import tiny_head

__all__ = ["tiny_head"]


def write_collection(folder: Path) -> Path:
    """Write the tiny collection with two queries of its own words for every document."""
    drawn = random.Random(0)
    (folder / "qrels").mkdir(parents=True)
    rows = {
        f"{split}-{i}-{doc_id}": (doc_id, " ".join([*text.split()[:3], drawn.choice(WORDS)]))
        for split in ("train", "test")
        for i in range(2)
        for doc_id, (_, text) in DOCUMENTS.items()
    }
    corpus = [{"_id": i, "title": title, "text": text} for i, (title, text) in DOCUMENTS.items()]
    queries = [{"_id": query_id, "text": text} for query_id, (_, text) in rows.items()]
    for name, lines in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    for split in ("train", "test"):
        judged = [f"{q}\t{doc_id}\t1\n" for q, (doc_id, _) in rows.items() if q.startswith(split)]
        header = "query-id\tcorpus-id\tscore\n"
        (folder / "qrels" / f"{split}.tsv").write_text(header + "".join(judged))
    return folder


def test_a_domain_is_fine_tuned_and_measured(
    tiny_head: Path,
    tiny_dense: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipeline = load_script("pipelines/finetune_domain")
    collection = write_collection(tmp_path / "collection")
    options = BuildOptions(sparse=str(tiny_head), dense=str(tiny_dense))
    build_index(open_source(collection), tmp_path / "index", options)
    monkeypatch.setattr(pipeline, "HELD_OUT", 6)
    monkeypatch.setattr(
        pipeline,
        "CANDIDATES",
        {"one": {"learning_rate": 1e-3}, "two": {"recipe": "ensemble-distil"}},
    )
    command = [
        "finetune_domain.py", str(collection), str(tmp_path / "work"), "--model", str(tiny_head),
        "--dense", str(tiny_dense), "--index", str(tmp_path / "index"), "--steps", "2",
        "--batch-size", "2", "--max-length", "16", "--json", str(tmp_path / "figures.json"),
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    pipeline.main()
    told = capsys.readouterr().out
    assert told.count("| one |") == told.count("| two |") == 2
    rows = [line for line in told.splitlines() if line.startswith("| bm25 + sparse + dense |")]
    assert len(rows) == 1
    assert rows[0].count("|") == 7
    assert "| bm25 + dense | 0." in told
    bm25_dense = next(line for line in told.splitlines() if line.startswith("| bm25 + dense |"))
    assert "+0.0000 [+0.0000, +0.0000]" in bm25_dense
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["test"]["bm25 + dense"]["difference"]["mean"] == 0
    assert figures["chosen"] in {"one", "two"}
