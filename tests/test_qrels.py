from __future__ import annotations

from pathlib import Path

import pytest

from hybrid.corpus.qrels import read_qrels, write_qrels
from hybrid.errors import CorpusError


def test_trec_and_beir_forms_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "trec").write_text("q1 0 a 1\nq1 0 b 0\n\nq2 0 a 2\n")
    (tmp_path / "beir.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t0\nq2\ta\t2\n")
    expected = {"q1": {"a": 1, "b": 0}, "q2": {"a": 2}}
    assert read_qrels(tmp_path / "trec") == read_qrels(tmp_path / "beir.tsv") == expected


def test_written_qrels_read_back(tmp_path: Path) -> None:
    qrels = {"q": {"a": 2, "b": -1}}
    write_qrels(tmp_path / "qrels", qrels)
    assert read_qrels(tmp_path / "qrels") == qrels


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q a", "line 2: 2 columns"),
        ("q 0 b high", "line 2: grade 'high'"),
        ("q 0 a 2", "line 2: document 'a' is judged 1 and 2"),
    ],
)
def test_broken_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "qrels").write_text(f"q 0 a 1\n{line}\n")
    with pytest.raises(CorpusError, match=said):
        read_qrels(tmp_path / "qrels")


def test_missing_and_badly_encoded_files(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        read_qrels(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"q 0 a 1\nq 0 \xe9 1\n")
    with pytest.raises(CorpusError, match="line 2: not utf-8"):
        read_qrels(tmp_path / "latin")
    (tmp_path / "cut.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(CorpusError, match="broken gzip"):
        read_qrels(tmp_path / "cut.gz")
