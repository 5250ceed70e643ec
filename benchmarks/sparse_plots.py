"""Draw how cost grows with documents and with query length, from the rows of sparse_engines.py.

    python benchmarks/sparse_plots.py docs/results/sparse_engines-*.json --out docs/results

Writes sparse_engines-documents.svg from rows of generated vectors and sparse_engines-terms.svg from
rows of the kinds terms-N. The dashed line is the physical limit of an exhaustive search: two bytes
a posting at the bandwidth measured in the run. Times at recall below .9 are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LEFT_OUT = ("faiss-dense", "ours-dense", "ours@", "bm25s")
COLOURS = {
    "ours": "#c0392b",
    "splade-index": "#2471a3",
    "pisa": "#7d3c98",
    "seismic": "#d68910",
    "scipy": "#7f8c8d",
}


def family(engine: str) -> str:
    return engine.split("@")[0]


def best(rows: list[dict], x: str) -> dict[str, list[tuple[float, float]]]:
    """Return each engine's points: its fastest variant at each ``x``."""
    points: dict[str, dict[float, float]] = {}
    for row in rows:
        if row["engine"].startswith(LEFT_OUT) or (row["recall"] or 0) < 0.9:
            continue
        line = points.setdefault(family(row["engine"]), {})
        line[row[x]] = min(row["p50_ms"], line.get(row[x], float("inf")))
    return {name: sorted(line.items()) for name, line in points.items()}


def draw(axes: plt.Axes, rows: list[dict], x: str, title: str, label: str) -> None:
    for name, line in best(rows, x).items():
        axes.plot(*zip(*line, strict=True), marker="o", ms=3, label=name, color=COLOURS.get(name))
    limit = sorted({row[x]: row["limit_ms"] for row in rows}.items())
    axes.plot(*zip(*limit, strict=True), "k--", lw=1, label="memory bandwidth")
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="median ms", title=title)
    axes.grid(True, which="major", lw=0.3)


def figure(panels: list[tuple[str, list[dict]]], x: str, label: str, path: Path) -> None:
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    drawn, axes = plt.subplots(lines, columns, figsize=(4.2 * columns, 3.2 * lines), squeeze=False)
    for place, (title, rows) in zip(axes.ravel(), panels, strict=False):
        draw(place, rows, x, title, label)
    axes[0][0].legend(fontsize=7)
    drawn.tight_layout()
    drawn.savefig(path, metadata={"Date": None})
    plt.close(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    plt.rcParams.update({"svg.hashsalt": "hybrid", "svg.fonttype": "none", "font.size": 8})
    rows = [row for path in args.files for row in json.loads(path.read_text())]
    rows = [row for row in rows if row.get("vectors", "generated") == "generated"]
    by_length = [row for row in rows if row["kind"].startswith("terms-")]
    by_size = [row for row in rows if not row["kind"].startswith("terms-")]
    panels = {}
    for row in by_size:
        panels.setdefault(f"{row['kind']} queries, top {row['k']}", []).append(row)
    figure(list(panels.items()), "docs", "documents", args.out / "sparse_engines-documents.svg")
    panels = {}
    for row in by_length:
        panels.setdefault(f"{row['docs']:,} documents, top {row['k']}", []).append(row)
    if panels:
        figure(
            list(panels.items()),
            "query_terms",
            "terms a query",
            args.out / "sparse_engines-terms.svg",
        )


if __name__ == "__main__":
    main()
