"""The queries on which one system loses most, every system's run, and the per-query table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hybrid
from hybrid.errors import OutputExistsError, UsageError
from hybrid.evaluate.failures import best_branch, failures
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.systems import SystemsReport, evaluate_systems
from hybrid.fusion.run import Run
from hybrid.report.evaluation import failures_table
from tests.conftest import QUERIES
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]


@pytest.fixture
def report(tiny_index: Path, beir_folder: Path) -> SystemsReport:
    both = [f"cc(alpha={share}, norm=tmm, branches=(sparse, dense))" for share in (0.9, 0.8)]
    options = EvaluateOptions(fusions=tuple(both))
    with hybrid.open(tiny_index) as index:
        return evaluate_systems(index, hybrid.open_source(beir_folder), options)


def test_the_worst_losses_come_first_with_both_lists(report: SystemsReport) -> None:
    measure, last, other = report.measures[0], report.systems[-1], report.system("bm25")
    lost = {
        query_id: other.evaluation.per_query(measure)[at] - value
        for at, (query_id, value) in enumerate(
            zip(last.evaluation.query_ids, last.evaluation.per_query(measure), strict=True)
        )
    }
    expected = sorted((-loss, query_id) for query_id, loss in lost.items() if loss > 0)
    found = failures(report, "bm25", most=100)
    assert [each.query_id for each in found] == [query_id for _, query_id in expected]
    assert found
    for each in found:
        text, judged = QUERIES[each.query_id]
        assert each.query == text
        assert each.other - each.value == lost[each.query_id]
        assert [one.doc_id for one in each.hits] == list(last.run.doc_ids(each.query_id)[:10])
        assert all(one.grade == judged.get(one.doc_id) for one in each.hits + each.other_hits)
    assert failures(report, "bm25", most=1) == found[:1]
    table = failures_table(found, measure, (last.name, "bm25"))
    assert len(table.rows) == len(found)


def test_the_best_branch_is_what_a_system_is_held_against(report: SystemsReport) -> None:
    measure = report.measures[0]
    branches = ("bm25", "sparse", "dense")
    best = max(branches, key=lambda name: report.system(name).evaluation[measure])
    assert best_branch(report) == best
    assert failures(report, most=3) == failures(report, best, most=3)
    with pytest.raises(UsageError, match="is the last system itself"):
        failures(report, report.systems[-1].name, most=3)
    with pytest.raises(UsageError, match="failures is 0"):
        failures(report, most=0)
    with pytest.raises(UsageError, match="was not evaluated"):
        failures(report, "other", most=1)


def test_every_run_is_written_into_a_new_folder(report: SystemsReport, tmp_path: Path) -> None:
    report.write_runs(tmp_path / "runs")
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(names) == len(report.systems)
    assert {"bm25.trec", "dense.trec", "rrf.trec"} <= set(names)
    assert any(name.startswith("cc(alpha=0.9") and " " not in name for name in names)
    for name in ("bm25", "rrf"):
        read = Run.read_trec(tmp_path / "runs" / f"{name}.trec")
        for query_id in QUERIES:
            assert read.doc_ids(query_id) == report.system(name).run.doc_ids(query_id)
    with pytest.raises(OutputExistsError):
        report.write_runs(tmp_path / "runs")


def test_the_per_query_table_has_the_text(report: SystemsReport, tmp_path: Path) -> None:
    report.write_per_query(tmp_path / "table.tsv")
    header, *rows = (tmp_path / "table.tsv").read_text(encoding="utf-8").splitlines()
    assert header.split("\t") == ["query_id", "system", "measure", "value", "query"]
    assert len(rows) == len(QUERIES) * len(report.systems) * len(report.measures)
    for row in rows:
        query_id, *_, text = row.split("\t")
        assert text == QUERIES[query_id][0]


def test_the_command_shows_failures_and_writes_runs(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    command = ("evaluate", tiny_index, beir_folder, "--run-dir", runs)
    asked = ("--fusion", "dense", "--failures", "2", "--format", "markdown")
    status, out, err = hybrid_command(*command, *asked)
    assert status == 0, err
    assert "queries on which dense loses most against" in out
    assert (runs / "dense.trec").is_file()
    status, _, err = hybrid_command(*command)
    assert status == 1
    assert "runs exists" in err
    assert hybrid_command(*command[:3], "--failures", "-1")[0] == 1


def test_a_tuned_branch_is_said_to_lose_nothing(
    hybrid_command: Command, tiny_copy: Path, beir_folder: Path
) -> None:
    with hybrid.open(tiny_copy) as index:
        index.store_domain("default", hybrid.Fusion.parse("bm25"))
    asked = ("evaluate", tiny_copy, beir_folder, "--measures", "nDCG@10", "--failures", "2")
    status, out, err = hybrid_command(*asked)
    assert status == 0, err
    assert "loses most" not in out
    assert "tuned is the system bm25 itself, so it loses on no query" in " ".join(err.split())
    status, out, err = hybrid_command(*asked, "--fusion", "rrf", "--against", "sparse", "--json")
    assert json.loads(out)["failures"] == []
    assert "rrf(k=60) loses on no query against sparse, nDCG@10" in err
