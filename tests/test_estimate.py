"""Estimates of ``hybrid estimate``: those of docs/scaling.md, by constants that were measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hybrid.build import estimate as costs
from hybrid.build.estimate import Estimate, EstimateOptions, PlaceEstimate, estimate
from hybrid.errors import UsageError
from hybrid.kernels.sparse.layout import TILE
from hybrid.kernels.sparse.planner import HIT_TILES
from tests.conftest import load_script
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]

DOCS = Path(__file__).parent.parent / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def table(name: str, head: str) -> list[list[str]]:
    """Return the cells of the first table of a page whose header begins so."""
    body = page(name).split(f"\n| {head}")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in body]


def found(**options: Any) -> Estimate:
    return estimate(EstimateOptions(**options))


def test_predictions_are_those_of_the_page() -> None:
    checked = load_script("benchmarks/scaling").checked()
    assert "\n".join(checked) in page("scaling.md")
    held_out = [line for line in checked if "| no |" in line]
    assert len(held_out) == 4
    for line in held_out:
        (off,) = re.findall(r"([+-]\d+)%", line)
        assert abs(int(off)) <= 20


def test_held_out_sizes_are_estimated_as_the_page_says() -> None:
    rows = table("scaling.md", "figure")
    predicted = {(name, size): float(value) for name, size, value, *_ in rows}
    place = found(documents=1e5, nnz=costs.MADE_NNZ).places["machine"]
    assert place.sparse_bytes is not None
    assert place.dense_ms is not None
    assert f"{place.sparse_bytes / 1e6:.3g}" == f"{predicted['sparse branch, MB', '100,000']:.3g}"
    dense = found(documents=3e5).places["machine"].dense_ms
    assert dense is not None
    assert f"{dense:.3g}" == f"{predicted['dense top 10, ms, flat', '300,000']:.3g}"


def test_sizes_and_times_are_those_of_the_page() -> None:
    rows = table("scaling.md", "documents")
    assert len(rows) == 4
    for size, *cells in rows:
        place = found(documents=float(size.replace(",", "")), nnz=120, dim=384).places["machine"]
        assert place.sparse_bytes is not None
        assert place.dense_bytes is not None
        gigabytes = [f"{each / 1e9:,.1f}" for each in (place.sparse_bytes, place.dense_bytes)]
        assert [*gigabytes, f"{place.sparse_ms:,.1f}", f"{place.dense_ms:,.0f}"] == cells


def test_core_hours_are_those_of_the_page() -> None:
    million, billion = found(documents=1e6).core_hours, found(documents=1e9).core_hours
    core = "Xeon core, float32"
    rows = table("scaling.md", "model")
    assert [row[0] for row in rows] == [m for m in million[core] if m != costs.BOTH]
    for model, rate, small, large in rows:
        assert float(rate) == costs.TEXTS_A_SECOND[core][model]
        assert f"{million[core][model]:,.1f}" == small
        assert f"{billion[core][model]:,.0f}" == large


def test_constants_are_those_of_the_committed_results() -> None:
    script = load_script("benchmarks/scaling")
    assert script.size_line() == costs.SPARSE_MB
    for fitted, used in zip(script.sparse_costs(), (costs.SWEPT_MS, costs.PRUNED_MS), strict=True):
        assert used == pytest.approx(fitted, rel=1e-4)
    large = script.measured("1m", "symmetric")
    weights = large["docs"] * costs.MADE_NNZ
    assert (
        large["query_terms"],
        large["postings"] / weights,
    ) == (costs.QUERY_TERMS, costs.POSTINGS)
    assert costs.PRUNED_FROM == 10 * HIT_TILES * TILE
    assert ((0, 0.0), (100_000 * 384, script.dense_ms("100k"))) == costs.DENSE_MS
    by_size = page("results/engines.txt").partition("\n$ for n in ")[2]
    rows = re.findall(
        r"^\| PostgreSQL, exact \| ([\d,]+) \| .*? \| (\S+) .*? \| (\S+) ", by_size, re.M
    )
    medians = {int(row[0].replace(",", "")): tuple(map(float, row[1:])) for row in rows}
    for place, line in enumerate(costs.POSTGRESQL_MS.values()):
        assert line == tuple((size, medians[size][place]) for size in (10_000, 100_000))
    rates = costs.TEXTS_A_SECOND
    for model, _, long, _ in table("results/offline-models.md", "model"):
        if model in rates["Xeon core, float32"]:
            assert rates["Xeon core, float32"][model] == float(long)
    pairs = {row[0]: float(row[1]) for row in table("results/encoding.md", "system")}
    assert rates["Xeon core, float32"][costs.BOTH] == pairs["ours, float32, one pass"]
    dtype = "ours, `--dtype bfloat16`, one pass"
    assert rates["Xeon core, bfloat16"][costs.BOTH] == pairs[dtype]
    rows = table("results/start.md", "backend")
    for backend, rate in costs.QUERIES_A_SECOND.items():
        (found,) = [int(row[5]) for row in rows if row[:3] == [backend, "one", "8"]]
        assert rate == found


def test_what_was_not_measured_is_none() -> None:
    estimated = found(documents=1e9)
    for processor, hours in estimated.core_hours.items():
        if processor.startswith("NVIDIA"):
            assert set(hours.values()) == {None}
    assert estimated.places["milvus"] == PlaceEstimate(note=costs.NO_SERVER)
    assert estimated.places["postgresql"].cores is None


def test_postgresql_is_refused_where_a_push_is() -> None:
    taken, refused = (found(documents=n).places["postgresql"] for n in (1_000_000, 1_000_001))
    assert taken.sparse_ms == pytest.approx(593.6)  # 11.7 and 11 times 52.9
    assert "refused" not in taken.note
    assert refused.sparse_ms is None
    assert "over 1,000,000 rows is refused" in refused.note
    assert refused.dense_ms is not None


def test_cores_grow_with_queries_and_are_rounded_up() -> None:
    assert [found(qps=q).places["machine"].cores for q in (0, 1, 17, 18)] == [0, 1, 1, 2]
    assert found(qps=200).query_cores == {"torch": 6, "onnx": 3}


def test_one_document() -> None:
    estimated = found(documents=1, nnz=1, dim=1)
    assert estimated.shards == 1
    assert estimated.places["machine"].dense_bytes == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"documents": 0}, "documents is 0; give 1 to 1e\\+15"),
        ({"documents": -1e6}, "documents is -1e\\+06; give 1"),
        ({"documents": float("nan")}, "documents is nan"),
        ({"documents": float("inf")}, "documents is inf"),
        ({"documents": "many"}, "documents is 'many' .str.; give a number"),
        ({"nnz": 0}, "nnz is 0; give 1"),
        ({"dim": 0}, "dim is 0; give 1 or more"),
        ({"dim": 3.5}, "dim is 3.5 .float.; give a whole number"),
        ({"qps": -1}, "qps is -1; give 0"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EstimateOptions(**options)


def test_the_command_refuses_with_a_message(hybrid_command: Command) -> None:
    status, out, err = hybrid_command("estimate", "--documents", "0")
    assert (status, out) == (1, "")
    assert "documents is 0; give 1 to 1e+15" in err
