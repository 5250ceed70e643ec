from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.errors import UsageError
from hybrid.evaluate import Comparison, Difference, compare_runs, evaluate, judge
from hybrid.evaluate.bench import Bench
from hybrid.fusion import Fusion, fuse, rank
from hybrid.report.samples import made_domain
from hybrid.tune import Space, TuneOptions, tune, tune_domains
from hybrid.tune.search import Search
from tests.conftest import load_script
from tests.made_pools import random_pool, random_qrels

pytest.importorskip("matplotlib")
from hybrid.report import plots

QUICK = TuneOptions(trials=0, repeats=1, curve=False)


def text(figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().decode()


def search(domain, space: Space | None = None) -> Search:
    bench = Bench(judge(domain.pool, domain.qrels), "nDCG@10")
    return Search(bench, space or Space(bench.branches), TuneOptions(trials=0))


@pytest.fixture(scope="module")
def domain():
    return made_domain("talk", sparse=2, dense=3, queries=40, documents=50)


def test_alpha_curves_mark_the_exact_best(domain) -> None:
    made = search(domain)
    figure = plots.alpha_curves({"talk": made})
    axes = figure.axes[0]
    (alpha,), (top,) = axes.lines[1].get_data()
    assert made.bench.values(
        Fusion.parse(f"cc(alpha={alpha}, norm=minmax)")
    ).mean() == pytest.approx(top)
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert (ticks[0], ticks[-1]) == ("0\nsparse alone", "1\ndense alone")
    assert "<svg" in text(figure)
    three = random_pool(1, names=("bm25", "sparse", "dense"))
    bench = Bench(judge(three, random_qrels(three)), "nDCG@10")
    with pytest.raises(UsageError, match="two branches, not 3"):
        plots.alpha_curves({"a": Search(bench, Space(bench.branches), TuneOptions(trials=0))})


def test_learning_curve_and_differences_draw_the_result(domain) -> None:
    result = tune(domain.pool, domain.qrels, TuneOptions(trials=0, repeats=1))
    axes = plots.learning_curve(result.label_budget, result.baselines).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [p.held_out for p in result.label_budget.curve]
    axes = plots.differences(result).axes[0]
    assert axes.lines[1].get_xdata()[0] == result.difference["branch"].mean
    bare = tune(domain.pool, domain.qrels, QUICK)
    with pytest.raises(UsageError, match="no learning curve"):
        plots.learning_curve(bare.label_budget, bare.baselines)


def test_forest_of_a_comparison_marks_what_is_significant_after_correction(domain) -> None:
    runs = {t: rank(domain.pool, fuse(domain.pool, Fusion.parse(t)), 50) for t in ("dense", "rrf")}
    runs["sparse"] = rank(domain.pool, fuse(domain.pool, Fusion.parse("sparse")), 50)
    (comparison,) = compare_runs(runs, domain.qrels)
    axes = plots.comparison_forest(comparison).axes[0]
    ordered = sorted(comparison.difference.values(), key=lambda each: each.mean)
    for row, each in enumerate(ordered):
        assert axes.lines[2 * row].get_xdata().tolist() == [each.low, each.high]
        coloured = axes.lines[2 * row].get_color() != plots.GREY
        assert coloured == (each.p_holm < 0.05)


def test_an_interval_without_zero_is_grey_where_the_corrected_p_is_not_small() -> None:
    found = Difference(0.1, 0.01, 0.2, 0.03, 0.06, 0.5, 6, 1, 3)
    alike = Comparison("RR", 10, "a", {"a": 0.5, "b": 0.6}, {}, {"b": found})
    (line, *_) = plots.comparison_forest(alike).axes[0].lines
    assert line.get_color() == plots.GREY
    told = replace(alike, difference={"b": replace(found, p_holm=0.04)})
    (line, *_) = plots.comparison_forest(told).axes[0].lines
    assert line.get_color() == plots.COLOURS[3]


def test_transfer_matrix_shows_every_value(domain) -> None:
    other = made_domain("other", sparse=3, dense=1, queries=30, documents=50, seed=5)
    result = tune_domains([domain, other], QUICK)
    shown = [label.get_text() for label in plots.transfer_matrix(result).axes[0].texts]
    assert shown == [f"{value:.3f}" for value in result.transfer.ravel()]


def test_scatter_counts_the_queries_each_way() -> None:
    pool = random_pool(3, queries=20)
    qrels = random_qrels(pool, 3, 12)
    a, b = (
        evaluate(rank(pool, fuse(pool, Fusion.parse(t)), 20), qrels) for t in ("sparse", "dense")
    )
    axes = plots.query_scatter(a, b, "nDCG@10", ["sparse", "dense"]).axes[0]
    wins = int((a.per_query("nDCG@10") > b.per_query("nDCG@10")).sum())
    assert f"sparse ({wins} queries better)" in axes.get_xlabel()
    other = evaluate(rank(pool, fuse(pool, Fusion.parse("rrf")), 20), {"q1": qrels["q1"]})
    with pytest.raises(UsageError, match="other queries"):
        plots.query_scatter(a, other, "nDCG@10", ["a", "b"])


def test_the_table_of_every_fusion_is_ordered_and_holds_the_tuned_row(
    domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    bench = search(domain).bench
    best = bench.values(Fusion.parse("cc(alpha=0.6, norm=minmax)"))
    script = load_script("benchmarks/fusion_table")
    table = script.fusion_table(bench, title="made", tuned={"tuned": ("cc(alpha=0.6)", best)})
    means = [row[1] for row in table.rows]
    assert means == sorted(means, reverse=True)
    assert len(table.rows) == len(script.every_fusion(bench.branches)) + 1
    shown = {row[0]: row for row in table.rows}
    assert shown["tuned: cc(alpha=0.6)"][1] == best.mean()
    assert shown["rrf(k=60)"][1] == bench.values(Fusion.parse("rrf")).mean()
    (top,) = [row for row in table.rows if row[4] is None]
    assert top[0] in bench.branches


def test_tradeoffs_draw_a_panel_a_cost() -> None:
    costs = {"FLOPS": [3.0, 1.0, 2.0], "MB": [30.0, 10.0, 20.0]}
    figure = plots.tradeoffs(costs, [0.5, 0.3, 0.4], ["a", "b", "c"], measure="nDCG@10")
    assert [axes.get_xlabel() for axes in figure.axes] == ["FLOPS", "MB"]
    (line,) = figure.axes[0].lines
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata().tolist() == [0.3, 0.4, 0.5]
    assert [text.get_text() for text in figure.axes[1].texts] == ["a", "b", "c"]
    with pytest.raises(UsageError, match="at least one cost"):
        plots.tradeoffs({}, [], [], measure="nDCG@10")
    with pytest.raises(UsageError, match="one value"):
        plots.tradeoffs({"MB": [1.0]}, [0.1, 0.2], ["a", "b"], measure="nDCG@10")


def assert_every_label_is_whole_and_alone(figure) -> None:
    for dpi in (figure.dpi, 72):
        figure.set_dpi(dpi)
        figure.draw_without_rendering()
        written = [label for axes in figure.axes for label in axes.texts]
        ticks = [
            label
            for axes in figure.axes
            for label in axes.get_xticklabels()
            if axes.get_xlim()[0] <= label.get_position()[0] <= axes.get_xlim()[1]
        ]
        boxes = [each.get_window_extent() for each in [*written, *ticks] if each.get_text()]
        assert boxes
        for place, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1
            assert not any(box.overlaps(other) for other in boxes[:place])


def test_labels_of_points_that_are_close_neither_hide_each_other_nor_leave_the_figure(
    domain,
) -> None:
    curves = {f"a domain of long name {number}": search(domain) for number in range(6)}
    assert_every_label_is_whole_and_alone(plots.alpha_curves(curves))
    budget = tune(domain.pool, domain.qrels, TuneOptions(trials=0, repeats=1)).label_budget
    held = budget.curve[0].held_out
    for apart in (0.0, 0.0005, 0.02):
        lines = {f"base{n}": (Fusion.parse("rrf"), held + n * apart) for n in range(4)}
        assert_every_label_is_whole_and_alone(plots.learning_curve(budget, lines))
    labels = [f"a system {number}" for number in range(5)]
    costs = {"ms": [1.0, 1.0, 1.01, 1.02, 9.0], "MB": [5.0] * 5}
    close = plots.tradeoffs(costs, [0.5, 0.5, 0.501, 0.5, 0.5], labels, measure="nDCG@10")
    assert_every_label_is_whole_and_alone(close)
    strengths = {"sparse": 2, "dense": 1, "queries": 30, "documents": 50}
    others = [made_domain(f"the domain of letters {n}", **strengths, seed=n) for n in range(2)]
    moved = plots.transfer_matrix(tune_domains(others, QUICK))
    assert_every_label_is_whole_and_alone(moved)


def test_a_label_with_room_stays_where_it_was(domain) -> None:
    (label,) = plots.alpha_curves({"talk": search(domain)}).axes[0].texts
    assert label.xyann == (0, 9)
