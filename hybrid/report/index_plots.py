"""Plots of an index: how sparse its branches are, and how much their lists share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hybrid.errors import require
from hybrid.machine.arrays import Ints
from hybrid.report.plots import COLOURS, STYLE, new_figure

BINS = 30
POINTS = 200
LINES = ("-", "--", "-.", ":")


def histograms(counts: Mapping[str, Ints], texts: str) -> Any:
    """Return a figure of the terms of each text: a panel a branch, the median marked.

    Args:
        counts: branch to the number of terms of each text, one or more.
        texts: what they are, in the plural.
    """
    matplotlib = require("matplotlib", extra="report", purpose="a plot")
    figures = require("matplotlib.figure", extra="report", purpose="a plot")
    with matplotlib.rc_context(STYLE):
        figure = figures.Figure(figsize=(1 + 3.6 * len(counts), 3.4), layout="constrained")
        panels = figure.subplots(1, len(counts), squeeze=False)[0]
    for axes, (name, values) in zip(panels, counts.items(), strict=True):
        most = int(values.max(initial=0))
        width = max(1, -(-(most + 1) // BINS))
        axes.hist(values, bins=np.arange(0, most + width + 1, width) - 0.5, color=COLOURS[0])
        middle = float(np.median(values)) if len(values) else 0.0
        axes.axvline(middle, color=COLOURS[1], linestyle="--", linewidth=2)
        axes.set_title(f"{name} (median {middle:g})", fontsize=11)
        axes.set_xlabel(f"terms with a weight, of {len(values):,} {texts}")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"number of {texts}")
    return figure


def postings_lengths(lengths: Mapping[str, Ints], texts: str) -> Any:
    """Return a figure of the postings of each term, longest first, on logarithmic axes.

    Args:
        lengths: branch to the number of texts that each term is in, zeros left out.
        texts: what they are, in the plural.
    """
    figure, axes = new_figure("Postings of each term", grid="both")
    for number, (name, values) in enumerate(lengths.items()):
        ordered = np.sort(values)[::-1]
        places = np.unique(np.geomspace(1, max(1, len(ordered)), POINTS).astype(np.int64))
        shown = places[: len(ordered)]
        axes.plot(shown, ordered[shown - 1], linestyle=LINES[number % 4], linewidth=2, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.set_minor_formatter(lambda *_: "")
    axes.set_xlabel("rank of the term by the length of its postings")
    axes.set_ylabel(f"number of {texts}")
    axes.legend(frameon=False)
    return figure


def overlaps(shares: Mapping[str, Sequence[float]], cutoffs: Sequence[int]) -> Any:
    """Return a figure of the mean share of documents that two branches have in common.

    Args:
        shares: pair of branches to a share for each cutoff.
        cutoffs: how many first documents of each list.
    """
    figure, axes = new_figure("Documents that two branches have in common")
    width = 0.8 / len(cutoffs)
    for number, cutoff in enumerate(cutoffs):
        places = np.arange(len(shares)) + (number - (len(cutoffs) - 1) / 2) * width
        heights = [each[number] for each in shares.values()]
        bars = axes.bar(
            places,
            heights,
            width * 0.92,
            color=COLOURS[number % len(COLOURS)],
            hatch=("", "//", "..")[number % 3],
            edgecolor="white",
            label=f"of the first {cutoff}",
        )
        axes.bar_label(bars, [f"{height:.2f}" for height in heights], fontsize=9, color="0.25")
    axes.set_xticks(range(len(shares)), list(shares))
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("branches")
    axes.set_ylabel("mean share over queries")
    axes.legend(frameon=False)
    return figure
