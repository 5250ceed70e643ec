from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hybrid
from hybrid.corpus import SourceOptions, open_source
from hybrid.errors import CorpusError, IndexLockedError, UsageError
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.pools import judged_pool
from hybrid.evaluate.systems import check_asked, evaluate_systems
from hybrid.tune import TuneOptions
from hybrid.tune.on_index import DomainTask, tune_index, tune_indexes
from hybrid.tune.optuna_search import hold_storage


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
        pytest.raises(CorpusError, match=r"none of the 1 documents that are relevant by"),
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


def test_judged_queries_without_a_text_or_a_relevant_document_are_told(
    tiny_index: Path, beir_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    queries, qrels = beir_folder / "queries.jsonl", beir_folder / "qrels" / "test.tsv"
    first, *rest = queries.read_text(encoding="utf-8").splitlines()
    broken = first.replace('"text":', '"txt":')
    assert broken != first
    queries.write_text("\n".join([broken, *rest]) + "\n", encoding="utf-8")
    barren = json.loads(rest[0])["_id"]
    header, *lines = qrels.read_text().splitlines()
    lines = [line for line in lines if line.split("\t")[0] != barren]
    qrels.write_text("\n".join([header, *lines, f"{barren}\td\t0"]) + "\n")
    source = open_source(beir_folder, options=SourceOptions(skip_bad=True))
    count = len(source.qrels("test"))
    told = (
        f"1 of {count} judged queries have no text there and count 0",
        f"1 of {count - 1} queries have no relevant document and count 0",
    )
    with hybrid.open(tiny_index) as index:
        report = evaluate_systems(index, source)
        assert tuple(report.warnings()) == told
        assert report.to_dict()["queries_without_text"] == 1
        options = TuneOptions(split="test", trials=0, folds=2, repeats=1)
        tuned = tune_index(index, source, options)
    assert tuned.warnings == told
    assert tuned.lines()[-1] == f"warning: {told[1]}"
    assert tuned.to_dict()["warnings"] == list(told)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"against": "colbert"}, "baseline 'colbert' is not among the systems bm25"),
        ({"expect": ["colbert:RR=1"]}, "system 'colbert' was not evaluated"),
        ({"expect": ["RR@10=1"]}, "RR@10 was not computed; computed: Judged@10"),
        ({"expect": ["Judged@10=nan"]}, "cannot read 'Judged@10=nan'"),
        ({"expect": ["Judged@10=1"], "tolerance": float("nan")}, "tolerance is nan"),
        ({"headroom": True}, "'Judged@10' cannot be tuned"),
        ({"fusions": ("cc(norm=minmax, branches=(bm25, nowhere))",)}, "names 'nowhere'"),
        ({"domain": "nowhere"}, "nowhere"),
        ({"measures": "Judged@0"}, "cutoff of measure Judged is 0"),
    ],
)
def test_what_is_known_at_once_is_refused_before_the_search(
    tiny_index: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(hybrid.search.view.View, "pool", None)
    names = ("measures", "fusions", "domain")
    given = {name: asked.pop(name) for name in names if name in asked}
    options = EvaluateOptions(**{"measures": "Judged@10", **given})
    with hybrid.open(tiny_index) as index, pytest.raises(UsageError, match=re.escape(message)):
        check_asked(index.view(), options, **asked)


def test_tuning_that_cannot_be_is_refused_before_the_search(
    tiny_index: Path, beir_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid.search.view.View, "pool", None)
    qrels = beir_folder / "qrels" / "test.tsv"
    qrels.write_text("\n".join(qrels.read_text().splitlines()[:5]) + "\n")
    source, storage = open_source(beir_folder), tmp_path / "trials.journal"
    options = TuneOptions(split="test", storage=storage)
    with hybrid.open(tiny_index) as index:
        tasks = [DomainTask(name, source, index) for name in ("one", "other")]
        few = r"has \d judged queries with a text in split 'test', too few to tune on"
        with pytest.raises(UsageError, match=few):
            tune_index(index, source, options)
        with pytest.raises(UsageError, match=few):
            tune_indexes(tasks, options)
        with pytest.raises(UsageError, match="cannot be tuned"):
            tune_index(index, source, replace(options, measure="Judged@10"))
        with hold_storage(storage), pytest.raises(IndexLockedError, match=r"trials\.journal"):
            tune_index(index, source, options)
