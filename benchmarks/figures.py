"""Draw the figures of docs/explanation, from the built-in model and from made weights.

python benchmarks/figures.py docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hybrid.encoders.models.by_name import load_sparse

QUERY = "merge sorted lists"
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#BBBBBB"


def splade(target: Path) -> None:
    """Write the weights that builtin:splade gives to a query, literal and added terms apart."""
    encoder = load_sparse("builtin:splade")
    row = encoder.encode_queries([QUERY])
    order = np.argsort(-row.data, kind="stable")[:14][::-1]
    terms = [str(encoder.vocabulary[row.indices[i]]) for i in order]
    literal = encoder.literal_terms(QUERY)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    colours = [BLUE if term in literal else ORANGE for term in terms]
    axes.barh(terms, row.data[order], color=colours)
    axes.set_xlabel("weight in the query's vector")
    axes.set_title(f"“{QUERY}”: {row.nnz} of {row.shape[1]:,} terms have a weight", loc="left")
    axes.text(0.98, 0.18, "stands in the query", color=BLUE, ha="right", transform=axes.transAxes)
    axes.text(0.98, 0.1, "added by the model", color=ORANGE, ha="right", transform=axes.transAxes)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})


def pruning(target: Path) -> None:
    """Write the bounds of made blocks, by height, with the tenth score that ends the search."""
    random = np.random.default_rng(4)
    scores = random.gamma(2.0, 0.9, (60, 16)) * random.gamma(1.2, 0.8, (60, 1))
    best = np.sort(scores.max(axis=1) * random.uniform(1.02, 1.25, 60))[::-1]
    tenth = float(np.sort(scores.ravel())[-10])
    scored = best >= tenth
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(60), best, color=np.where(scored, BLUE, GREY))
    axes.axhline(tenth, color="black", linewidth=1)
    axes.text(59, tenth, "the tenth best score so far", ha="right", va="bottom")
    axes.text(scored.sum() / 2, best[0] * 1.02, "scored", color=BLUE, ha="center")
    axes.text(
        40, tenth * 0.75, "left out: no document reaches the line", color="#666666", ha="center"
    )
    axes.set_xlabel("blocks of 16 documents, highest bound first")
    axes.set_ylabel("bound on the score")
    axes.set_xticks([])
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    mpl.rcParams.update({"svg.hashsalt": "hybrid", "svg.fonttype": "none", "font.size": 10})
    splade(folder / "splade.svg")
    pruning(folder / "pruning.svg")
