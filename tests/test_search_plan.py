"""What a search says of itself: fusion, depth, and how exact its sparse branches are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Passages
from hybrid.errors import UsageError
from hybrid.evaluate.options import EvaluateOptions
from hybrid.index.sparse import approximate, write
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse
from tests.test_cli import Command, hybrid_command
from tests.test_living import ENCODERS, Memory, document

__all__ = ["hybrid_command"]

COUNT = 600


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small index whose sparse branch was measured like a large one, at depth 10."""
    directory = tmp_path_factory.mktemp("measured") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate, "depths", lambda documents: (10,))
        patch.setattr(write, "REORDER_FROM", 1)
        report = build_index(
            Memory([replace(document(n), fields={"year": n % 9}) for n in range(COUNT)]),
            directory,
            BuildOptions(),
            encoders=ENCODERS,
        )
    assert "top 10: " in report.branches["sparse"].report["approximate_recall"]
    return directory


def opened(directory: Path) -> Index:
    return Index(directory, encoders=ENCODERS)


def test_a_recall_reaches_the_sparse_branch_and_no_other(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    search = InvertedIndex.search

    def spied(self, *args, **options):  # type: ignore[no-untyped-def]
        asked.append(options.get("shrink", 1.0))
        return search(self, *args, **options)

    monkeypatch.setattr(InvertedIndex, "search", spied)
    with opened(measured) as index:
        index.search("merge sort", depth=10, recall=0.9)
        index.search(["merge sort", "json"], depth=10, recall=0.9)
        index.search("merge sort", depth=10)
        index.search("merge sort", recall=0.9)  # to depth 1000, which is exact
        shrink = index.plan(depth=10, recall=0.9).accuracies["sparse"].shrink
    assert asked == [shrink, shrink, 1.0, 1.0]
    assert shrink < 1


def test_the_plan_says_which_cut_and_at_which_depth(measured: Path) -> None:
    with opened(measured) as index:
        plan = index.plan(5, depth=10, recall=0.9)
        cut = plan.accuracies["sparse"]
        assert list(plan.accuracies) == ["sparse"]
        assert (plan.k, plan.depth, str(plan.fusion)) == (5, 10, "cc(norm=minmax)")
        assert not cut.exact
        assert cut.recall >= 0.9
        assert str(cut).endswith(
            f"of the top 10, measured at build on 128 sampled queries (bounds x {cut.shrink:g})"
        )
        assert index.plan(5).accuracies == {}
        deep = index.plan(5, recall=0.9).accuracies["sparse"]
        assert str(deep).startswith("exact: searches to depth 10 or less can be cut")
        filtered = index.plan(5, depth=10, recall=0.9, filter="year > 1").accuracies["sparse"]
        assert str(filtered) == "exact: what a filter leaves is searched exactly"


def test_recall_one_is_the_exact_search(measured: Path) -> None:
    texts = ["merge sort", "json file", "absent"]
    with opened(measured) as index:
        assert index.search(texts, depth=10, recall=1.0) == index.search(texts, depth=10)
        one, other = (index.pool({"a": "merge"}, **o) for o in ({}, {"recall": 1.0}))  # type: ignore[arg-type]
        assert np.array_equal(one.scores, other.scores)


def test_what_cannot_be_had_is_refused(measured: Path, tiny_copy: Path) -> None:
    with opened(measured) as index:
        with pytest.raises(UsageError, match=r"no branch that is searched \(dense\) is sparse"):
            index.search("merge", fusion="dense", recall=0.9)
        for depth in (0, -3):
            with pytest.raises(UsageError, match=f"depth is {depth}; give 1 or more"):
                index.search("merge", depth=depth)
        with pytest.raises(UsageError, match="recall is 0"):
            index.search("merge", recall=0)
        with pytest.raises(UsageError, match=r"recall is 1\.1"):
            index.pool({"a": "merge"}, recall=1.1)
    with hybrid.open(tiny_copy) as index:
        found = index.plan(3, recall=0.9).accuracies
        assert list(found) == ["bm25", "sparse"]
        assert {str(each) for each in found.values()} == {
            "exact: 10 rows are too few for a cut to save time"
        }
        assert index.search("merge json", k=3, recall=0.9) == index.search("merge json", k=3)


def test_passages_are_searched_exactly(measured: Path, tmp_path: Path) -> None:
    encoders = {"sparse": HashSparse(), "dense": HashDense()}
    documents = [document(number) for number in range(COUNT)]
    options = BuildOptions(passages=Passages(3, 1))
    build_index(Memory(documents), tmp_path / "index", options, encoders=encoders)
    with Index(tmp_path / "index", encoders=encoders) as index:
        assert "best passage" in str(index.plan(5, depth=10, recall=0.9).accuracies["sparse"])
        assert index.search("merge", depth=10, recall=0.9) == index.search("merge", depth=10)


def test_the_command_line_labels_what_it_prints(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    label = "exact: 10 rows are too few for a cut to save time"
    asked = ("search", tiny_index, "parse json", "-k", "3", "--recall", "0.99")
    status, out, err = hybrid_command(*asked)
    assert status == 0, err
    assert out.splitlines()[:2] == [f"bm25 is {label}", f"sparse is {label}"]
    found = json.loads(hybrid_command(*asked, "--json")[1])
    assert found["accuracy"]["sparse"]["label"] == label
    exact = json.loads(hybrid_command(*asked[:-2], "--json")[1])
    assert "accuracy" not in exact
    assert exact["hits"] == found["hits"]

    judged = ("evaluate", tiny_index, beir_folder, "--recall", "0.99")
    status, out, err = hybrid_command(*judged, "--latency", "2", "--json")
    assert status == 0, err
    assert json.loads(out)["accuracy"]["bm25"]["exact"]
    run = tmp_path / "run.trec"
    status, out, err = hybrid_command(*judged, "--run", run)
    assert "sparse is exact" in " ".join(out.split())
    assert {line.split()[-1] for line in run.read_text().splitlines()} == {"hybrid"}
    status, _, err = hybrid_command("search", tiny_index, "json", "-k", "3", "--recall", "2")
    assert status == 1
    assert "recall is 2" in err


def test_a_report_of_an_approximate_search_says_so(measured: Path, monkeypatch) -> None:
    from hybrid.corpus import Query
    from hybrid.evaluate.systems import evaluate_systems
    from hybrid.report.evaluation import systems_table

    source = Memory([])
    monkeypatch.setattr(source, "queries", lambda split=None: iter([Query("q", "merge sort")]))
    monkeypatch.setattr(source, "qrels", lambda split: {"q": {"d0001": 1}})
    with opened(measured) as index:
        report = evaluate_systems(index, source, EvaluateOptions(depth=10, recall=0.9))
        assert report.run_tag == "hybrid-approximate"
        label = report.to_dict()["accuracy"]["sparse"]["label"]
        assert label.startswith("approximate: recall about ")
        assert f"sparse is {label}" in systems_table(report).title
        exact = evaluate_systems(index, source, EvaluateOptions(depth=10))
        assert exact.run_tag == "hybrid"
        assert "accuracy" not in exact.to_dict()
