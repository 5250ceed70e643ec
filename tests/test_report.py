"""The report: its figures are those of the index and the judgments, its page loads nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Passages, open_source
from hybrid.encoders.density import expected_flops
from hybrid.errors import CorpusError, OutputExistsError, UsageError
from hybrid.evaluate import EvaluateOptions
from hybrid.evaluate.judging import Judging
from hybrid.evaluate.systems import evaluate_systems
from hybrid.fusion import fuse, parse_fusion, rank
from hybrid.index.change import store_domain
from hybrid.report.quality import overlap, queries_table
from hybrid.report.write import make_report, write_plots, write_report
from hybrid.search.index import Index, open_index
from hybrid.tune import TuneOptions
from hybrid.tune.on_index import DomainTask, tune_index, tune_indexes
from tests.conftest import write_beir
from tests.made_encoders import HashDense, HashSparse
from tests.made_pools import random_pool
from tests.read_page import Page, check_self_contained
from tests.test_cli import Command, hybrid_command
from tests.test_living import Memory, document

pytest.importorskip("matplotlib")
__all__ = ["hybrid_command"]

QUICK = TuneOptions(trials=0, folds=2, repeats=1, curve=False)
PLOTS = ["systems", "weights", "overlap", "terms-per-query", "terms-per-document",
         "postings-lengths"]  # fmt: skip
ENCODERS = {"sparse": HashSparse(), "dense": HashDense()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_beir(tmp_path_factory.mktemp("report") / "beir"))


@pytest.fixture(scope="module")
def index(source: str, tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("report") / "index"
    build_index(open_source(source), folder, encoders=ENCODERS)
    return open_index(folder, encoders=ENCODERS)


@pytest.fixture(scope="module")
def read(index: Index, source: str) -> Page:
    return Page(make_report(index, open_source(source)).html())


def rows(page: Page, start: str) -> list[dict[str, str]]:
    """Return the rows of the table whose caption starts so."""
    (found,) = [table for caption, table in page.tables.items() if caption.startswith(start)]
    head, *body = found
    return [dict(zip(head, row, strict=True)) for row in body]


def test_the_page_loads_nothing_and_runs_the_script_that_orders_tables(read: Page) -> None:
    check_self_contained(read)
    assert read.tags["svg"] == read.tags["figure"] == len(PLOTS)
    assert not any("$" in text for text in read.texts["svg"])  # ticks are numbers, not TeX
    assert len(read.texts["script"]) == 1
    assert "aria-sort" in read.texts["script"][0]


def test_no_two_elements_share_an_id(index: Index, source: str) -> None:
    html = make_report(index, open_source(source)).html()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)) > 10
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', html)
    assert {one or other for one, other in used} <= set(ids)


def test_terms_of_documents_are_counted(index: Index, read: Page) -> None:
    texts = [index.document(doc_id).full_text for doc_id in index.contents.doc_ids]
    counts = np.diff(HashSparse().encode_documents(texts).indptr)
    (row,) = rows(read, "Terms with a weight, of documents")
    assert (row["branch"], row["documents"]) == ("sparse", "10")
    expected = [counts.mean(), *np.quantile(counts, [0.05, 0.5, 0.95, 1])]
    shown = [float(row[name]) for name in ("mean", "5 %", "median", "95 %", "most")]
    assert shown == pytest.approx(expected, abs=0.005)


def test_the_longest_postings_are_those_of_the_most_frequent_terms(
    index: Index, read: Page
) -> None:
    texts = [index.document(doc_id).full_text for doc_id in index.contents.doc_ids]
    frequencies = np.diff(HashSparse().encode_documents(texts).tocsc().indptr)
    found = rows(read, "Longest postings of sparse")
    assert [int(row["documents"]) for row in found] == sorted(frequencies, reverse=True)[:20]
    for row in found:
        assert frequencies[int(row["term"][1:])] == int(row["documents"])
        assert float(row["share"]) == pytest.approx(int(row["documents"]) / 10, abs=1e-4)


def test_expansions_are_the_terms_that_do_not_stand_in_the_text(index: Index, read: Page) -> None:
    encoder = HashSparse()
    texts = [index.document(doc_id).full_text for doc_id in index.contents.doc_ids]
    added: dict[str, list[float]] = {}
    weights = encoder.encode_documents(texts)
    for text, row in zip(texts, weights, strict=True):
        for column, weight in zip(row.indices, row.data, strict=True):
            if f"t{column}" not in encoder.literal_terms(text):
                added.setdefault(f"t{column}", []).append(float(weight))
    found = rows(read, "Terms that sparse adds to documents")
    assert [int(row["documents"]) for row in found] == sorted(
        map(len, added.values()), reverse=True
    )[:20]
    for row in found:
        assert int(row["documents"]) == len(added[row["term"]])
        assert float(row["mean weight"]) == pytest.approx(np.mean(added[row["term"]]), abs=0.01)


def test_expected_products_of_the_judged_queries(index: Index, source: str, read: Page) -> None:
    texts = [index.document(doc_id).full_text for doc_id in index.contents.doc_ids]
    asked = [query.text for query in open_source(source).queries("test")]
    encoder = HashSparse()
    expected = expected_flops(encoder.encode_queries(asked), encoder.encode_documents(texts))
    (row,) = rows(read, "Products of one query")
    assert float(row["FLOPS"]) == pytest.approx(expected, abs=1e-4)


def test_each_query_has_its_value_under_each_system_worst_losses_first(
    index: Index, source: str, read: Page
) -> None:
    report = evaluate_systems(index, open_source(source), EvaluateOptions())
    values = {
        system.name: dict(
            zip(system.evaluation.query_ids, system.evaluation.per_query("nDCG@10"), strict=True)
        )
        for system in report.systems
    }
    best = max(("sparse", "dense"), key=lambda name: sum(values[name].values()))
    found = rows(read, "nDCG@10 of each query")
    assert {row["query"] for row in found} == set(values["rrf"])
    for row in found:
        for name in values:
            assert float(row[name]) == pytest.approx(values[name][row["query"]], abs=5e-5)
        lead = values["rrf"][row["query"]] - values[best][row["query"]]
        assert float(row["difference"]) == pytest.approx(lead, abs=5e-5)
        assert row["text"] == report.judged.texts[row["query"]]
    keys = [(float(row["difference"]), row["query"]) for row in found]
    assert keys == sorted(keys)


def test_a_tuned_branch_is_no_fusion_that_loses(index: Index) -> None:
    judged = ({"a": "json", "b": "merge"}, {"a": {"json.dump": 1}, "b": {"heapq.merge": 1}})
    report = evaluate_systems(index, judged, EvaluateOptions(fusions=("rrf(k=5)",)))
    sparse, dense, *fusions = report.systems
    tuned = replace(dense, name="tuned")
    for systems, last in (
        ((sparse, dense, *fusions, tuned), "rrf(k=5)"),
        ((sparse, dense, *fusions[:1], tuned), "rrf"),
        ((sparse, dense, tuned), "tuned"),
    ):
        title = queries_table(replace(report, systems=systems)).title
        assert f"difference: {last} minus" in title


def test_overlap_is_the_share_of_documents_in_both_lists(
    index: Index, source: str, read: Page
) -> None:
    pool = random_pool(5, queries=7)
    for cutoff in (1, 3, 100):
        expected = []
        for query in pool.query_ids:
            one = pool.select([pool.query_ids.index(query)])
            lists = [
                set(rank(one, fuse(one, parse_fusion(name)), 10**6).doc_ids(query)[:cutoff])
                for name in ("sparse", "dense")
            ]
            longest = max(map(len, lists))
            expected.append(len(lists[0] & lists[1]) / longest if longest else 0)
        assert overlap(pool, "sparse", "dense", cutoff).tolist() == pytest.approx(expected)
    (row,) = rows(read, "Mean share of documents in common")
    judged = evaluate_systems(index, open_source(source), EvaluateOptions()).judged.pool
    shown = overlap(judged, "sparse", "dense", 10).mean()
    assert float(row["first 10"]) == pytest.approx(shown, abs=5e-5)


def test_the_evidence_for_tuned_domains_and_the_transfer(source: str, tmp_path: Path) -> None:
    build_index(open_source(source), tmp_path / "index", encoders=ENCODERS)
    with open_index(tmp_path / "index", encoders=ENCODERS) as index:
        asked = open_source(source)
        options = TuneOptions(split="train", trials=0, folds=2, repeats=1)
        tuned = tune_index(index, asked, options)
        tasks = [DomainTask(name, asked, index) for name in ("a<b>", "$x_$")]
        several = tune_indexes(tasks, options)
        index.store_domain("mine", tuned.fusion, report=tuned.to_dict())
        learned = "learned(weights=(dense:1))"
        old = tuned.to_dict() | {"fusion": learned}
        store_domain(tmp_path / "index", "gone", learned, old)
        index.store_domain("bare", "rrf(k=60)")
        index.store_domain("odd", "dense", report={"label_budget": {}, "transfer": 3})
        made = make_report(index)
        page = Page(made.html())
        titles = [each.title for each in made.sections]
        assert {"Tuning: domain mine", "Transfer between domains", "Domain bare"} <= set(titles)
        for line in (*tuned.lines(), *several.results["a<b>"].lines()):
            assert line in page.texts["p"]
        transfer = rows(page, "nDCG@10: tuned on the row")
        assert [row["tuned on"] for row in transfer] == list(several.rows)
        for row, values in zip(transfer, several.transfer, strict=True):
            shown = [float(row[name]) for name in several.columns]
            assert shown == pytest.approx(values.tolist(), abs=5e-5)
        for fusion in ("rrf(k=60)", "dense", learned):
            line = f"Stored without evidence that this version can read: {fusion}"
            assert line in page.texts["p"]
        check_self_contained(page)
        for name in several.columns:
            assert name in "".join(page.texts["svg"])


def test_passages_and_changed_documents_are_counted_as_they_are_now(tmp_path: Path) -> None:
    documents = [document(n) for n in range(30)]
    options = BuildOptions(passages=Passages(3, 1))
    build_index(Memory(documents), tmp_path / "index", options, encoders=ENCODERS)
    with open_index(tmp_path / "index", encoders=ENCODERS) as index:
        index.delete(["d0003", "d0004"])
        index.add([{"id": "new", "text": "merge a heap of sorted lists in a queue"}])
        made = make_report(index, ({"q": "merge"}, {"q": {"new": 1}}))
        rows_now = index.contents.row_count
        stored = index.contents.sparse("sparse").vectors(np.arange(rows_now, dtype=np.int32))
    page = Page(made.html())
    (row,) = rows(page, "Terms with a weight, of passages")
    assert int(row["passages"]) == rows_now > 29
    assert float(row["mean"]) == pytest.approx(stored.nnz / rows_now, abs=0.005)
    size = {row["of"]: row["value"] for row in rows(page, "Size")}
    assert (size["documents"], size["segments"]) == ("29", "2")
    assert size["deleted documents still stored"] == "2"


def test_the_same_index_gives_the_same_page(index: Index, source: str) -> None:
    first, second = (make_report(index, open_source(source)).html() for _ in range(2))
    assert first == second


def test_texts_of_queries_stay_texts(index: Index, tmp_path: Path) -> None:
    attack = "</td><script>alert(1)</script> json $x_$"
    queries = [("q1", attack), ("<b>", "merge lists"), ("q3", "open & read")]
    qrels: dict[str, Any] = {name: {"json.dump": 1} for name, _ in queries}
    write_report(index, tmp_path / "a.html", (dict(queries), qrels))
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    check_self_contained(page)
    assert attack in [row["text"] for row in rows(page, "nDCG@10 of each query")]
    assert page.tags["script"] == 1


def test_without_judged_queries_the_index_is_told(index: Index, tmp_path: Path) -> None:
    made = write_report(index, tmp_path / "a.html")
    assert [each.title for each in made.sections] == ["Contents", "Sparsity", "Expansions"]
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert rows(page, "Size")[0] == {"of": "documents", "value": "10"}
    options = EvaluateOptions(measures="RR@10")
    made = make_report(index, ({"q": "json"}, {"q": {"json.dump": 1}}), options)
    assert [each.name for each in made.plots] == PLOTS


def test_a_measure_without_an_exact_curve_is_told(index: Index) -> None:
    options = EvaluateOptions(measures="ERR@10")
    made = make_report(index, ({"q": "json"}, {"q": {"json.dump": 1}}), options)
    (section,) = [each for each in made.sections if each.title == "Weight between branches"]
    assert "'ERR@10' cannot be tuned" in str(section.parts[0])


def test_no_curve_is_drawn_of_condensed_lists(index: Index) -> None:
    options = EvaluateOptions(measures="RR@10", judging=Judging(judged_only=True))
    made = make_report(index, ({"q": "json"}, {"q": {"json.dump": 1}}), options)
    (section,) = [each for each in made.sections if each.title == "Weight between branches"]
    assert str(section.parts[0]).startswith("the curve of weights counts every candidate, and")
    assert "weights" not in [each.name for each in made.plots]


def test_one_branch_of_each_kind(source: str, tmp_path: Path) -> None:
    for name, encoder in ENCODERS.items():
        build_index(open_source(source), tmp_path / name, encoders={name: encoder})
        with open_index(tmp_path / name, encoders={name: encoder}) as index:
            made = make_report(index, open_source(source))
        titles = [each.title for each in made.sections]
        assert ("Sparsity" in titles) == ("Terms of queries" in titles) == (name == "sparse")
        assert "Overlap of the branches" not in titles
        assert "Query by query" in titles
        Page(made.html())


@pytest.mark.parametrize("form", ["svg", "png"])
def test_each_plot_is_written_alone(index: Index, source: str, tmp_path: Path, form: Any) -> None:
    write_plots(index, tmp_path / "plots", open_source(source), form=form)
    files = sorted((tmp_path / "plots").iterdir())
    assert [each.name for each in files] == sorted(f"{name}.{form}" for name in PLOTS)
    start = {"svg": b"<svg", "png": b"\x89PNG"}[form]
    assert all(each.read_bytes().startswith(start) for each in files)


def test_what_cannot_be_written_or_asked_is_refused_before_a_search(
    index: Index, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a text was encoded")

    monkeypatch.setattr(HashSparse, "encode_documents", never)
    monkeypatch.setattr(HashDense, "encode_documents", never)
    judged = open_source(source)
    (tmp_path / "there").write_text("mine")
    with pytest.raises(OutputExistsError, match="there exists"):
        write_report(index, tmp_path / "there", judged)
    with pytest.raises(OutputExistsError, match="there exists"):
        write_plots(index, tmp_path / "there", judged)
    with pytest.raises(UsageError, match="svg or png"):
        write_plots(index, tmp_path / "new", judged, form="gif")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nope"):
        write_report(index, tmp_path / "new", judged, EvaluateOptions(domain="nope"))
    with pytest.raises(UsageError, match="nDCH"):
        write_report(index, tmp_path / "new", judged, EvaluateOptions(measures="nDCH@10"))
    with pytest.raises(CorpusError, match="dev"):
        write_report(index, tmp_path / "new", judged, EvaluateOptions(split="dev"))
    assert (tmp_path / "there").read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


def test_a_report_that_fails_leaves_nothing(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UsageError("stopped")

    monkeypatch.setattr("hybrid.report.parts.Plot.svg", fail)
    with pytest.raises(UsageError, match="stopped"):
        write_report(index, tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def test_the_commands(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "report.html"
    status, out, err = hybrid_command("report", tiny_index, beir_folder, "-o", target, "--json")
    assert status == 0, err
    found = json.loads(out)
    page = Page(target.read_text(encoding="utf-8"))
    assert found["output"] == str(target)
    assert found["sections"] == page.texts["h2"]
    assert page.tags["svg"] == len(found["plots"])
    command = ("plot", tiny_index, beir_folder, "-o", tmp_path / "plots", "--format", "png")
    status, out, err = hybrid_command(*command)
    assert status == 0, err
    assert all(Path(line).stat().st_size > 1000 for line in out.splitlines())
    assert len(out.splitlines()) == len(found["plots"])
    for again in (command, ("report", tiny_index, "-o", target)):
        status, _, err = hybrid_command(*again)
        assert status == 1
        assert "exists" in err
    status, _, err = hybrid_command("report", tiny_index, "-o", tmp_path / "b", "--depth", "5")
    assert status == 1
    assert "--depth has no effect without judged queries" in err
