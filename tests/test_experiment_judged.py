from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import hybrid
from hybrid.corpus import open_source
from hybrid.errors import CorpusError
from hybrid.evaluate.pools import judged_pool
from hybrid.evaluate.systems import evaluate_systems


def judged_anew(folder: Path, target: Path, judged: str) -> Path:
    """A copy of a BEIR folder whose first query has one relevant document."""
    shutil.copytree(folder, target)
    path = next((target / "qrels").glob("test.tsv"))
    header, first = path.read_text().splitlines()[:2]
    path.write_text(f"{header}\n{first.split()[0]}\t{judged}\t1\n")
    return target


def test_judgments_of_another_collection_are_refused(
    tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    source = open_source(judged_anew(beir_folder, tmp_path / "other", "of-another-collection"))
    with (
        hybrid.open(tiny_index) as index,
        pytest.raises(CorpusError, match=r"none of the 1 documents that .* calls relevant"),
    ):
        judged_pool(index.view(), source)


def test_relevant_documents_that_are_missing_are_told(
    tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    with hybrid.open(tiny_index) as index:
        known = index.contents.documents[0].doc_id
        folder = judged_anew(beir_folder, tmp_path / "partly", known)
        judged = judged_pool(index.view(), open_source(folder))
        assert (judged.relevant, judged.absent) == (1, 0)
        path = folder / "qrels" / "test.tsv"
        query = path.read_text().splitlines()[1].split("\t")[0]
        path.write_text(path.read_text() + f"{query}\tunknown\t1\n{query}\tnot-relevant\t0\n")
        report = evaluate_systems(index, open_source(folder))
        assert report.warnings() == [
            "1 of 2 relevant documents are not in the index and cannot be found"
        ]
