"""Plots: matplotlib figures of tuning and evaluation, each made from a result alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hybrid.errors import UsageError, require
from hybrid.evaluate import Evaluation
from hybrid.fusion import Fusion
from hybrid.tune.budget import LabelBudget
from hybrid.tune.domains import DomainsResult
from hybrid.tune.result import NAMES, TuneResult
from hybrid.tune.search import Search
from hybrid.tune.space import Line

SIZE = (7.0, 4.0)


def _figure(width: float = SIZE[0], height: float = SIZE[1]) -> tuple[Any, Any]:
    # The object interface: pyplot would keep every figure of the process.
    figures = require("matplotlib.figure", extra="report", purpose="a plot")
    figure = figures.Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def alpha_curves(searches: Mapping[str, Search], *, norm: str = "minmax") -> Any:
    """Return a figure of the exact mean over alpha, one step line a search, its best marked.

    Args:
        searches: label to the search of one domain, all over the same two branches.
        norm: normalisation of the convex combination.

    Raises:
        UsageError: other than two branches.
    """
    figure, axes = _figure()
    branches: tuple[str, ...] = ()
    for label, search in searches.items():
        branches = search.space.branches
        if len(branches) != 2:
            raise UsageError(f"a curve over alpha needs two branches, not {len(branches)}")
        curve = search.curve(Line("cc", norm, (), branches))
        edges, values = curve.mean()
        (drawn,) = axes.step(edges, [*values, values[-1]], where="post", label=label)
        alpha, top = curve.best()
        axes.plot([alpha], [top], "o", color=drawn.get_color())
        axes.annotate(f"{alpha:.2f}: {top:.3f}", (alpha, top), (0, 6), textcoords="offset points")
        axes.set_ylabel(search.bench.measure)
    axes.set_xlabel(f"alpha: 0 is {branches[0]} alone, 1 is {branches[-1]} alone")
    axes.legend(frameon=False)
    return figure


def learning_curve(budget: LabelBudget, baselines: Mapping[str, tuple[Fusion, float]]) -> Any:
    """Return a figure of the held-out mean over the number of judged queries, and the baselines.

    Raises:
        UsageError: the budget has no curve.
    """
    if not budget.curve:
        raise UsageError("this result has no learning curve: 20 judged queries or more make one")
    figure, axes = _figure()
    sizes = [point.queries for point in budget.curve]
    axes.plot(sizes, [point.held_out for point in budget.curve], "o-", label="tuned, held out")
    low, high = [p.low for p in budget.curve], [p.high for p in budget.curve]
    axes.fill_between(sizes, low, high, alpha=0.2, label="middle 80 % of draws")
    for number, (name, (_, mean)) in enumerate(baselines.items(), start=1):
        axes.axhline(mean, linestyle="--", color=f"C{number}", label=NAMES.get(name, name))
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("judged queries")
    axes.legend(frameon=False)
    return figure


def differences(result: TuneResult) -> Any:
    """Return a figure of the held-out difference from each baseline with its interval."""
    figure, axes = _figure(height=2.4)
    names = list(result.difference)
    for row, name in enumerate(names):
        found = result.difference[name]
        axes.plot([found.low, found.high], [row, row], color="C0")
        axes.plot([found.mean], [row], "o", color="C0")
    axes.axvline(0, color="0.6", linewidth=1)
    axes.set_yticks(range(len(names)), [f"against {NAMES.get(name, name)}" for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"difference in {result.measure} on held-out queries, 95 % interval")
    return figure


def transfer_matrix(result: DomainsResult) -> Any:
    """Return a figure of what a fusion tuned on a row's domain reaches on a column's."""
    figure, axes = _figure(height=4.5)
    # Colour within a column: domains differ in level, and only the choice of fusion is at issue.
    gain = result.transfer - result.transfer.max(axis=0)
    axes.imshow(gain, cmap="viridis", aspect="auto")
    middle = (gain.min() + gain.max()) / 2
    for (row, column), value in np.ndenumerate(result.transfer):
        shade = "black" if gain[row, column] > middle else "white"
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=shade)
    axes.set_xticks(range(len(result.columns)), result.columns)
    axes.set_yticks(range(len(result.rows)), result.rows)
    axes.set_xlabel("measured on")
    axes.set_ylabel("tuned on")
    return figure


def query_scatter(
    first: Evaluation, second: Evaluation, measure: str, labels: Sequence[str]
) -> Any:
    """Return a figure of one system against another, a point a query.

    Raises:
        UsageError: the systems were evaluated on other queries.
    """
    if first.query_ids != second.query_ids:
        raise UsageError("the systems were evaluated on other queries; use the same judgments")
    figure, axes = _figure(width=4.5, height=4.5)
    x, y = first.per_query(measure), second.per_query(measure)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.scatter(x, y, s=18, alpha=0.5)
    axes.set_xlabel(f"{measure}, {labels[0]} ({(x > y).sum()} queries better)")
    axes.set_ylabel(f"{measure}, {labels[1]} ({(y > x).sum()} queries better)")
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
    for axes, (name, values) in zip(panels, costs.items(), strict=True):
        order = np.argsort(values)
        axes.plot(np.array(values)[order], np.array(effect)[order], "o-")
        for x, y, label in zip(values, effect, labels, strict=True):
            axes.annotate(label, (x, y), (4, 4), textcoords="offset points", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(name)
    panels[0].set_ylabel(measure)
    return figure
