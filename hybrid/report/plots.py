"""Plots: matplotlib figures of tuning and evaluation, each made from a result alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from textwrap import fill
from typing import Any

import numpy as np

from hybrid.errors import UsageError, require
from hybrid.evaluate import Comparison, Difference, Evaluation
from hybrid.fusion import Fusion
from hybrid.report.labels import keep_apart
from hybrid.report.tables import SIGNIFICANT
from hybrid.tune.budget import LabelBudget
from hybrid.tune.domains import DomainsResult
from hybrid.tune.line import Curve
from hybrid.tune.search import Search
from hybrid.tune.space import Line
from hybrid.tune.verdict import NAMES, TuneResult

SIZE = (7.5, 4.2)
COLOURS = ("#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
"""The colours of Okabe and Ito, which those who are colour-blind tell apart."""
GREY = "0.55"
WIDE = 12
"""Characters of a line of a name under a column, so that names do not touch."""
STYLE = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "0.4",
    "axes.labelcolor": "0.25",
    "xtick.color": "0.25",
    "ytick.color": "0.25",
    "figure.dpi": 110,
}


def new_figure(
    title: str, width: float = SIZE[0], height: float = SIZE[1], *, grid: str = "y"
) -> tuple[Any, Any]:
    """Return an empty figure in the style of all plots, and its axes."""
    # The object interface: pyplot would keep every figure of the process.
    figures = require("matplotlib.figure", extra="report", purpose="a plot")
    matplotlib = require("matplotlib", extra="report", purpose="a plot")
    with matplotlib.rc_context(STYLE):
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, pad=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_prop_cycle(color=COLOURS)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color="0.9", linewidth=0.8)
    return figure, axes


def alpha_curves(searches: Mapping[str, Search], *, norm: str = "minmax") -> Any:
    """Return a figure of the exact mean over alpha, one step line a search, its best marked.

    Args:
        searches: label to the search of one domain, all over the same two branches.
        norm: normalisation of the convex combination.

    Raises:
        UsageError: other than two branches.
    """
    measure = next(iter(searches.values())).bench.measure
    figure, axes = new_figure(f"{measure} at every weight, and the exact best")
    branches: tuple[str, ...] = ()
    labels = []
    for label, search in searches.items():
        branches = search.space.branches
        if len(branches) != 2:
            raise UsageError(f"a curve over alpha needs two branches, not {len(branches)}")
        alpha, top, colour = _draw_curve(axes, label, search.curve(Line("cc", norm, (), branches)))
        labels += [
            axes.annotate(
                f"{label}: {top:.3f} at {alpha:.2f}",
                (alpha, top),
                (0, 9),
                textcoords="offset points",
                ha="center",
                color=colour,
                fontweight="bold",
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
            )
        ]
    _finish_curves(axes, f"{branches[0]} alone", f"{branches[-1]} alone", measure)
    axes.set_xlabel("alpha, the weight of the last branch")
    keep_apart(axes, labels)
    return figure


def pair_curves(search: Search, *, norm: str = "minmax") -> Any:
    """Return a figure of the exact mean over the weight between every two branches.

    Raises:
        UsageError: fewer than two branches.
    """
    if len(search.space.branches) < 2:
        raise UsageError("a curve over the weight needs two branches; this search has one")
    figure, axes = new_figure(f"{search.bench.measure} at every weight between two branches")
    for pair in combinations(search.space.branches, 2):
        _draw_curve(axes, f"{pair[0]} to {pair[1]}", search.curve(Line("cc", norm, (), pair)))
    _finish_curves(axes, "first alone", "second alone", search.bench.measure)
    axes.set_xlabel("alpha, the weight of the second branch of the two")
    axes.legend(title="best", frameon=False)
    return figure


def _draw_curve(axes: Any, label: str, curve: Curve) -> tuple[float, float, str]:
    """Draw a step line with its best marked; return alpha and mean of that, and the colour."""
    edges, values = curve.mean()
    style = ("-", "--", "-.", ":")[len(axes.lines) // 2 % 4]
    alpha, top = curve.best()
    (drawn,) = axes.step(edges, [*values, values[-1]], where="post", linewidth=2, linestyle=style)
    drawn.set_label(f"{label}: {top:.3f} at {alpha:.2f}")
    colour = str(drawn.get_color())
    axes.plot([alpha], [top], "o", color=colour, markersize=9, markeredgecolor="white")
    return alpha, top, colour


def _finish_curves(axes: Any, low: str, high: str, measure: str) -> None:
    axes.margins(y=0.12)
    axes.set_xlim(0, 1)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    ends: dict[float, str] = {0: f"0\n{low}", 1: f"1\n{high}"}
    axes.set_xticks(ticks, [ends.get(tick, f"{tick:g}") for tick in ticks])
    axes.set_ylabel(f"mean {measure}")


def learning_curve(budget: LabelBudget, baselines: Mapping[str, tuple[Fusion, float]]) -> Any:
    """Return a figure of the held-out mean over the number of judged queries, and the baselines.

    Raises:
        UsageError: the budget has no curve.
    """
    if not budget.curve:
        raise UsageError("this result has no learning curve: 20 judged queries or more make one")
    figure, axes = new_figure("What more judged queries would bring")
    sizes = [point.queries for point in budget.curve]
    low, high = [p.low for p in budget.curve], [p.high for p in budget.curve]
    axes.fill_between(sizes, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.plot(sizes, [p.held_out for p in budget.curve], "o-", color=COLOURS[0], linewidth=2)
    labels = [
        axes.annotate(
            "tuned, held out\n(band: middle 80 % of draws)",
            (sizes[0], budget.curve[0].held_out),
            (8, -6),
            textcoords="offset points",
            va="top",
            color=COLOURS[0],
            fontweight="bold",
        )
    ]
    ordered = sorted(baselines.items(), key=lambda item: -item[1][1])
    for number, (name, (_, mean)) in enumerate(ordered, start=1):
        colour = COLOURS[number % len(COLOURS)]
        axes.axhline(mean, linestyle="--", linewidth=1.5, color=colour)
        labels += [
            axes.annotate(
                f"{NAMES.get(name, name)} {mean:.3f}",
                (1, mean),
                (-4, 3 if number == 1 else -3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                va="bottom" if number == 1 else "top",
                color=colour,
            )
        ]
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] * 0.9, sizes[-1] * (1.9 if len(sizes) > 1 else 3))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.margins(y=0.15)
    axes.set_xlabel("judged queries tuned on")
    axes.set_ylabel("mean on all other queries")
    keep_apart(axes, labels)
    return figure


def differences(result: TuneResult) -> Any:
    """Return a figure of the held-out difference from each baseline with its interval."""
    title = f"Tuned minus baseline, {result.queries} queries held out"
    labels = [f"{NAMES.get(n, n)} ({result.baselines[n][1]:.3f})" for n in result.difference]
    axis = f"difference in {result.measure}, 95 % interval"
    return _forest(title, labels, list(result.difference.values()), axis)


def comparison_forest(comparison: Comparison) -> Any:
    """Return a figure of each system's difference from the baseline with its interval."""
    ordered = sorted(comparison.difference.items(), key=lambda item: item[1].mean)
    title = f"Against {comparison.baseline}, {comparison.queries} queries"
    labels = [f"{name} ({comparison.means[name]:.3f})" for name, _ in ordered]
    axis = f"difference in {comparison.measure}, 95 % interval"
    return _forest(title, labels, [found for _, found in ordered], axis)


def _forest(title: str, labels: list[str], found: list[Difference], axis: str) -> Any:
    """Return intervals, one a row; in colour where p, corrected by Holm, is under .05."""
    figure, axes = new_figure(title, height=1.3 + 0.45 * len(labels), grid="x")
    for row, each in enumerate(found):
        told = each.p_holm < SIGNIFICANT
        colour = GREY if not told else COLOURS[3] if each.mean > 0 else COLOURS[1]
        axes.plot([each.low, each.high], [row, row], color=colour, linewidth=3, alpha=0.6)
        axes.plot([each.mean], [row], "o", color=colour, markersize=9, markeredgecolor="white")
        axes.annotate(
            f"{each.mean:+.3f}, p {each.p_holm:.2g}",
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            color=colour,
        )
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlabel(axis)
    return figure


def transfer_matrix(result: DomainsResult) -> Any:
    """Return a figure: fusions tuned on the row's domain, measured on the column's."""
    rows, columns = len(result.rows), len(result.columns)
    figure, axes = new_figure(
        "Carried to another domain", 3.2 + 1.25 * columns, 1.6 + 0.62 * rows, grid=""
    )
    # Colour within a column: domains differ in level, and only the choice of fusion is at issue.
    loss = result.transfer - result.transfer.max(axis=0)
    floor = min(float(loss.min()), -1e-9)
    shown = axes.imshow(loss, cmap="YlGnBu", aspect="auto", vmin=floor, vmax=-floor * 0.25)
    for (row, column), value in np.ndenumerate(result.transfer):
        shade = "white" if loss[row, column] > floor * 0.35 else "0.15"
        weight = "bold" if row == column else "normal"
        axes.text(
            column, row, f"{value:.3f}", ha="center", va="center", color=shade, fontweight=weight
        )
    axes.set_xticks(range(columns), [fill(name, WIDE) for name in result.columns])
    axes.set_yticks(range(rows), [f"{name}" for name in result.rows])
    axes.axhline(columns - 0.5, color="white", linewidth=4)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("measured on")
    axes.set_ylabel("tuned on")
    bar = figure.colorbar(shown, ax=axes, boundaries=np.linspace(floor, 0, 64), ticks=[floor, 0])
    bar.ax.set_yticklabels([f"{floor:.2f}", "best of\ncolumn"])
    bar.outline.set_visible(False)
    return figure


def query_scatter(
    first: Evaluation, second: Evaluation, measure: str, labels: Sequence[str]
) -> Any:
    """Return a figure of one system against another, a dot for queries of the same two values.

    Raises:
        UsageError: the systems were evaluated on other queries.
    """
    if first.query_ids != second.query_ids:
        raise UsageError("the systems were evaluated on other queries; use the same judgments")
    x, y = first.per_query(measure), second.per_query(measure)
    ties = int((x == y).sum())
    figure, axes = new_figure(f"Query by query, {measure} ({ties} ties)", 5.6, 5.6, grid="both")
    axes.fill_between([0, 1], [0, 1], [1, 1], color=COLOURS[0], alpha=0.06, linewidth=0)
    axes.fill_between([0, 1], [0, 0], [0, 1], color=COLOURS[1], alpha=0.06, linewidth=0)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    points, counts = np.unique(np.round(np.stack([x, y], axis=1), 3), axis=0, return_counts=True)
    lead = np.sign(points[:, 1] - points[:, 0])
    colours = np.array([COLOURS[1], GREY, COLOURS[0]])[lead.astype(int) + 1]
    axes.scatter(*points.T, s=38 * counts, c=colours, alpha=0.75, edgecolors="white")
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.04, 1.04)
    axes.set_aspect("equal")
    bold = {"fontweight": "bold"}
    axes.set_xlabel(f"{labels[0]} ({(x > y).sum()} queries better)", color=COLOURS[1], **bold)
    axes.set_ylabel(f"{labels[1]} ({(y > x).sum()} queries better)", color=COLOURS[0], **bold)
    return figure


def tradeoffs(
    costs: Mapping[str, Sequence[float]],
    effect: Sequence[float],
    labels: Sequence[str],
    *,
    measure: str,
) -> Any:
    """Return a figure of effectiveness against costs: a panel a cost, a point a system.

    Args:
        costs: axis label to one value a system.
        effect: one value a system.
        labels: of the systems.
        measure: what ``effect`` is.

    Raises:
        UsageError: no costs, or rows of other lengths.
    """
    lengths = {len(effect), len(labels), *map(len, costs.values())}
    if not costs or len(lengths) > 1:
        raise UsageError(
            f"{len(effect)} effects, {len(labels)} labels and costs of lengths "
            f"{[len(values) for values in costs.values()]}; give at least one cost, and one value "
            "for each system"
        )
    figures = require("matplotlib.figure", extra="report", purpose="a plot")
    figure = figures.Figure(figsize=(3.4 * len(costs), 3.2), layout="constrained")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    named = []
    for axes, (name, values) in zip(panels, costs.items(), strict=True):
        order = np.argsort(values)
        axes.plot(np.array(values)[order], np.array(effect)[order], "o-")
        offset = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": 8}
        points = zip(values, effect, labels, strict=True)
        named.append([axes.annotate(label, (x, y), **offset) for x, y, label in points])
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(0.1)
        axes.set_xlabel(name)
    panels[0].set_ylabel(measure)
    for axes, each in zip(panels, named, strict=True):
        keep_apart(axes, each)
    return figure
