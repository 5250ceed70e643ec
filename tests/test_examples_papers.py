"""The examples on runs and on training, each run as a person would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import DOCUMENTS, QUERIES

EXAMPLES = Path(__file__).parent.parent / "examples"


def ran(name: str, *arguments: object) -> str:
    """Return what an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_two_runs_become_a_table(tmp_path: Path) -> None:
    qrels = tmp_path / "qrels.txt"
    runs = {"good": [], "bad": []}  # type: dict[str, list[str]]
    judged = []
    for query_id, (_, grades) in QUERIES.items():
        ordered = sorted(DOCUMENTS, key=lambda doc_id: -grades.get(doc_id, 0))
        for name, docs in (("good", ordered), ("bad", ordered[::-1])):
            runs[name] += [
                f"{query_id} Q0 {doc_id} {rank} {100 - rank} {name}\n"
                for rank, doc_id in enumerate(docs, start=1)
            ]
        judged += [f"{query_id} 0 {doc_id} {grade}\n" for doc_id, grade in grades.items()]
    qrels.write_text("".join(judged))
    for name, lines in runs.items():
        (tmp_path / f"{name}.trec").write_text("".join(lines))
    printed = ran("two_runs_to_latex.py", tmp_path / "bad.trec", tmp_path / "good.trec", qrels)
    assert "\\toprule" in printed
    assert "\\textbf{1.0000}" in next(line for line in printed.splitlines() if "good" in line)
    assert any(line.startswith("RRF") for line in printed.splitlines())


def test_pairs_become_a_model_of_plain_sentence_transformers(
    tiny_bert: Path, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.tsv"
    first = {text: DOCUMENTS[next(iter(grades))][1] for text, grades in QUERIES.values()}
    lines = [f"{text}\t{answer}\n" for text, answer in first.items()]
    pairs.write_text("".join(lines * 4))
    printed = ran("pairs_to_model.py", pairs, tiny_bert, tmp_path / "run", 1)
    assert str(tmp_path / "run" / "model") in printed
    assert (tmp_path / "run" / "model" / "README.md").is_file()
