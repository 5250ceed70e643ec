"""How far the predictions of ``hybrid estimate`` miss what was measured.

    python benchmarks/scaling.py

The constants come from the committed results of the smallest and the largest size that were
measured (``docs/results/sparse_engines-*.json``); the size between them is held out. Latency is one
thread's exact top 10. Of the sparse branch it is a fixed time and a time for each posting of the
query's terms; of the flat dense branch a time for each number of a vector (``living-*.json``), from
100,000 documents, with 300,000 held out. Beyond the largest size it is an extrapolation.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from hybrid.build.estimate import DENSE_MS, MADE_NNZ, Line, on_line

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SIZES = ("10k", "100k", "1m")


def measured(size: str, kind: str) -> dict[str, Any]:
    """Return the row of our engine's exact top 10 at one size."""
    rows = json.loads((RESULTS / f"sparse_engines-{size}.json").read_text())
    return next(r for r in rows if (r["engine"], r["kind"], r["k"]) == ("ours", kind, 10))


def lines_of(kind: str) -> tuple[Line, Line]:
    """Return size by weights and time by postings, through the smallest and the largest size."""
    small, large = measured(SIZES[0], kind), measured(SIZES[-1], kind)
    weights = [(row["docs"] * MADE_NNZ, row["index_mb"]) for row in (small, large)]
    postings = [(row["postings"], row["p50_ms"]) for row in (small, large)]
    return (weights[0], weights[1]), (postings[0], postings[1])


def dense_ms(size: str) -> float:
    """Return the measured time of a flat search over 384 dimensions."""
    found = json.loads((RESULTS / f"living-{size}.json").read_text())["splade"]["processes"]
    return median(process["dense_top10_ms"]["one"] for process in found)


def checked() -> list[str]:
    """Return the table of what is predicted and what was measured, in Markdown."""
    lines = [
        "| figure | documents | predicted | measured | off by | in the fit |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for kind in ("symmetric", "inference-free"):
        by_weights, by_postings = lines_of(kind)
        for size in SIZES:
            row = measured(size, kind)
            ms = on_line(row["postings"], by_postings)
            figures = [(f"sparse top 10, ms, {kind} queries", ms, row["p50_ms"])]
            if kind == "symmetric":
                mb = on_line(row["docs"] * MADE_NNZ, by_weights)
                figures.insert(0, ("sparse branch, MB", mb, row["index_mb"]))
            for name, predicted, found in figures:
                lines.append(
                    f"| {name} | {row['docs']:,} | {predicted:.3g} | {found:.3g} | "
                    f"{predicted / found - 1:+.0%} | {'no' if size == SIZES[1] else 'yes'} |"
                )
    for size, documents in {"100k": 100_000, "300k": 300_000}.items():
        ms, found = on_line(documents * 384, DENSE_MS), dense_ms(size)
        lines.append(
            f"| dense top 10, ms, flat | {documents:,} | {ms:.3g} | {found:.3g} | "
            f"{ms / found - 1:+.0%} | {'no' if size == '300k' else 'yes'} |"
        )
    return [*lines[:2], *sorted(lines[2:], key=lambda line: "MB" not in line)]


if __name__ == "__main__":
    print("\n".join(checked()))
