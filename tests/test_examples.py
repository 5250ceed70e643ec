"""The scripts of ``examples/`` run, each in a process of its own, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hybrid
from tests.conftest import QUERIES

ROOT = Path(hybrid.__file__).parent.parent


def run(script: str, *arguments: object) -> list[str]:
    """Return the lines that an example prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_table_is_searched(tmp_path: Path, tiny_dense: Path, tiny_cross: Path) -> None:
    lines = run("dataframe_search.py", tmp_path / "index", tiny_dense, tiny_cross)
    assert [line.split(" | ")[0] for line in lines] == ["1", "2"]
    assert all(float(line.split(" | ")[2]) < 50 for line in lines)
    assert {line.split(" | ", 3)[3] for line in lines} <= {
        "merge sorted lists with a heap | ['sorted', 'lists']",
        "a queue of sorted numbers | ['sorted']",
        "open a socket in a thread | []",
    }


def test_forty_queries_tune_a_fusion_that_is_stored(tiny_copy: Path, tmp_path: Path) -> None:
    rows = [(f"{each}{n}", each) for n in range(7) for each in QUERIES][:40]
    queries, qrels = tmp_path / "queries.tsv", tmp_path / "judgments.qrels"
    queries.write_text("".join(f"{query}\t{QUERIES[each][0]}\n" for query, each in rows))
    qrels.write_text(
        "".join(
            f"{query} 0 {doc_id} {grade}\n"
            for query, each in rows
            for doc_id, grade in QUERIES[each][1].items()
        )
    )
    lines = run("tune_40.py", tiny_copy, queries, qrels)
    assert lines[-3].startswith("1 heapq.merge")
    with hybrid.open(tiny_copy) as index:
        assert "support" in index.domains
