from __future__ import annotations

import json
from pathlib import Path

import pytest

import hybrid
from hybrid.corpus import open_source
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.reuse import MOST_KEPT, WIDTH, Reuse, query_hashes, reused_queries, warning
from hybrid.evaluate.systems import evaluate_systems
from hybrid.index.records import model_keys
from hybrid.tune import TuneOptions
from hybrid.tune.on_index import DomainTask, tune_index, tune_indexes
from tests.conftest import QUERIES
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]

OPTIONS = TuneOptions(split="test", trials=0, folds=2, repeats=1, curve=False)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_record_knows_its_queries_again(count: int) -> None:
    texts = ["merge lists", "roll dice", "read json"]
    record = {"query_hashes": query_hashes(texts[:count])}
    assert len(record["query_hashes"]) == count * WIDTH
    assert reused_queries([f" {text.upper()}\n" for text in texts], record) == Reuse(count)
    assert reused_queries([], record) == Reuse(0)


def test_a_record_without_hashes_knows_none() -> None:
    assert reused_queries(["merge lists"], {}) == Reuse(0)
    assert reused_queries(["merge lists"], {"queries": 3}) == Reuse(0)


@pytest.mark.parametrize("tuned", [MOST_KEPT + 5, 12 * MOST_KEPT])
def test_a_record_is_bounded_and_tells_the_share_of_what_it_kept(tuned: int) -> None:
    texts = [f"query {number}" for number in range(tuned)]
    record = {"query_hashes": query_hashes(texts)}
    assert len(record["query_hashes"]) == MOST_KEPT * WIDTH
    assert reused_queries(texts, record) == Reuse(tuned, about=True)
    assert warning(Reuse(tuned, about=True), tuned).startswith(f"about {tuned} of {tuned} queries")
    half = reused_queries([*texts[:5000], *(f"other {n}" for n in range(5000))], record)
    assert half.about
    assert half.count == pytest.approx(5000, rel=0.15)
    assert reused_queries([f"other {number}" for number in range(5000)], record).count == 0
    assert reused_queries([], record) == Reuse(0)


def test_a_few_queries_are_no_warning() -> None:
    assert [bool(warning(Reuse(count), 100)) for count in (0, 9, 10, 100)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_figure_on_the_tuning_queries_is_told(
    tiny_copy: Path, beir_folder: Path, hybrid_command: Command
) -> None:
    source = open_source(beir_folder)
    with hybrid.open(tiny_copy) as index:
        result = tune_index(index, source, OPTIONS)
        assert evaluate_systems(index, source).warnings() == []  # nothing is tuned yet
        old = {name: value for name, value in result.to_dict().items() if name != "query_hashes"}
        index.store_domain("default", result.fusion, report=old)
        assert evaluate_systems(index, source).warnings() == []
        index.store_domain("default", result.fusion, report=result.to_dict())
        count = len(QUERIES)
        report = evaluate_systems(index, source)
        said = f"{count} of {count} queries were used to tune this fusion: this is not a held-out"
        assert report.warnings() == [f"tuned: {said} figure"]
        assert report.to_dict()["queries_tuned_on"] == count
    status, out, err = hybrid_command("evaluate", tiny_copy, beir_folder, "--format", "csv")
    assert status == 0
    assert f"warning: tuned: {said}" in err
    assert "warning" not in out


def test_each_of_several_domains_and_the_pooled_one_know_their_queries(
    tiny_copy: Path, beir_folder: Path
) -> None:
    source, other = open_source(beir_folder), tiny_copy.parent / "other"
    other.mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (other / name).parent.mkdir(exist_ok=True)
        (other / name).write_text((beir_folder / name).read_text())
    queries = (other / "queries.jsonl").read_text()
    (other / "queries.jsonl").write_text(queries.replace('"text": "', '"text": "how to '))
    with hybrid.open(tiny_copy) as index:
        tasks = [DomainTask("a", source, index), DomainTask("b", open_source(other), index)]
        tune_indexes(tasks, OPTIONS)
        count = len(QUERIES)
        for domain, reused in (("a", count), ("b", 0), ("unheard of", count)):
            assert evaluate_systems(index, source, EvaluateOptions(domain=domain)).reuse == Reuse(
                reused
            )


def test_other_queries_are_held_out(tiny_copy: Path, beir_folder: Path, tmp_path: Path) -> None:
    source = open_source(beir_folder)
    other = {"query_hashes": query_hashes(["something else"])}
    with hybrid.open(tiny_copy) as index:
        index.store_domain("default", index.fusion("dense"), report=other)
        report = evaluate_systems(index, source)
        assert (report.reuse, report.warnings()) == (Reuse(0), [])
        assert report.to_dict()["queries_tuned_on"] == 0
        pooled = {"query_hashes": query_hashes(QUERIES[next(iter(QUERIES))][:1])}
        index.store_domain("pooled", index.fusion("dense"), report=pooled)
        assert evaluate_systems(index, source, EvaluateOptions(domain="unheard of")).reuse == Reuse(
            1
        )


def test_a_fusion_that_was_tuned_with_another_model_is_told(
    tiny_copy: Path, beir_folder: Path, hybrid_command: Command
) -> None:
    source = open_source(beir_folder)
    with hybrid.open(tiny_copy) as index:
        result = tune_index(index, source, OPTIONS)
        report = result.to_dict()
        assert set(report["models"]) == set(index.branches)
        index.store_domain("default", result.fusion, report=report)
        assert evaluate_systems(index, source).other_models == ()
        index.add([{"id": "new", "text": "one more document changes idf, not the model"}])
        index.compact()
        assert evaluate_systems(index, source).other_models == ()
        first, second = index.branches[:2]
        kept = {name: key for name, key in report["models"].items() if name != second}
        index.store_domain("default", "dense", report=report | {"models": kept | {first: "x"}})
        index.store_domain("old", "dense", report={"queries": 3})
        found = evaluate_systems(index, source)
        assert found.other_models == (first, second)
        said = f"tuned with another model of {first} and {second}; tune it again"
        assert found.warnings()[-1] == f"tuned: it was {said}"
    status, out, _ = hybrid_command("info", tiny_copy)
    assert status == 0
    assert out.count(said) == 1
    assert json.loads(hybrid_command("info", tiny_copy, "--json")[1])["other_models"] == {
        "default": [first, second]
    }


def test_the_pooled_fusion_keeps_the_models_of_its_index(
    tiny_copy: Path, beir_folder: Path
) -> None:
    source = open_source(beir_folder)
    with hybrid.open(tiny_copy) as index:
        tune_indexes([DomainTask("a", source, index), DomainTask("b", source, index)], OPTIONS)
        kept = {
            name: each["report"]["models"] for name, each in index.view().contents.domains.items()
        }
        assert set(kept) == {"a", "b", "pooled"}
        assert kept["a"] == kept["b"] == kept["pooled"] == model_keys(index.view().contents.records)
