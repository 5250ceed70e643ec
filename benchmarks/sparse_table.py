"""Print the results of sparse_engines.py as Markdown: ratios to `ours` first, then every row.

python benchmarks/sparse_table.py docs/results/sparse_engines-*.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def cases(rows: list[dict]) -> list[list[dict]]:
    """Return the rows of each kind of query and k."""
    keys = dict.fromkeys((row["vectors"], row["kind"], row["k"]) for row in rows)
    return [[row for row in rows if (row["vectors"], row["kind"], row["k"]) == key] for key in keys]


def fastest(rows: list[dict], family: str, least_recall: float = 0.0) -> dict | None:
    """Return the fastest variant of an engine that reaches a recall."""
    chosen = [
        row
        for row in rows
        if row["engine"].split("@")[0] == family and (row["recall"] or 0) >= least_recall
    ]
    return min(chosen, key=lambda row: row["p50_ms"], default=None)


def times(rows: list[dict], family: str, least_recall: float = 0.0) -> str:
    """Return how many times ours an engine's fastest variant takes."""
    found, ours = fastest(rows, family, least_recall), rows_of_ours(rows)
    if found is None or ours is None:
        return ""
    recall = f" ({found['recall']:.3f})" if least_recall else ""
    return f"{found['p50_ms'] / ours['p50_ms']:.2f}{recall}"


def rows_of_ours(rows: list[dict]) -> dict | None:
    return next((row for row in rows if row["engine"] == "ours"), None)


def summary(rows: list[dict]) -> list[str]:
    """Return one line a case: peers' medians over that of ours, and our tail."""
    lines = [
        "| documents | queries | k | scipy | splade-index | PISA | Seismic (recall) "
        "| p99 / median | limit / median |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in cases(rows):
        ours = rows_of_ours(case)
        if ours is None:
            continue
        least = 0.98 if ours["k"] <= 100 else 0.965
        cells = [times(case, name) for name in ("scipy", "splade-index", "pisa")]
        cells.append(times(case, "seismic", least) or "none at this recall")
        cells.append(f"{ours['p99_ms'] / ours['p50_ms']:.1f}")
        cells.append(f"{ours['limit_ms'] / ours['p50_ms']:.2f}")
        name = f"{ours['docs']:,} {ours['vectors']}"
        lines.append(f"| {name} | {ours['kind']} | {ours['k']} | {' | '.join(cells)} |")
    return [*lines, ""]


def table(rows: list[dict]) -> list[str]:
    first = rows[0]
    machine = first["machine"]
    lines = [
        f"### {first['docs']:,} documents ({first['vectors']} vectors), {first['kind']} queries "
        f"({first['query_terms']} terms), top {first['k']}",
        "",
        "| engine | p50 ms | p99 ms | times ours | recall | exact | build s | index MB | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ours = rows_of_ours(rows)
    for row in sorted(rows, key=lambda row: row["p50_ms"]):
        exact = {True: "yes", False: "no", None: ""}[row["exact"]]
        recall = "" if row["recall"] is None else f"{row['recall']:.3f}"
        ratio = f"{row['p50_ms'] / ours['p50_ms']:.1f}" if ours else ""
        lines.append(
            f"| {row['engine']} {row['version']} | {row['p50_ms']:.3f} | {row['p99_ms']:.2f} "
            f"| {ratio} | {recall} | {exact} | {row['build_s']:.1f} | {row['index_mb']:.0f} "
            f"| {row['peak_rss_mb']:.0f} |"
        )
    return [
        *lines,
        "",
        f"Reading the {first['postings']:,} postings of the median query, 2 bytes each, at "
        f"{machine['read_gb_s']} GB/s takes {first['limit_ms']:.3f} ms: the limit of an exhaustive "
        "search.",
        "",
    ]


def rounding(rows: list[dict]) -> list[str]:
    """Return which engines round the weights of documents, and how."""
    how = {row["engine"].split("@")[0]: row["rounds"] for row in rows}
    said = [f"{name}: {text}" for name, text in how.items() if not name.endswith("dense")]
    return [f"Rounding of weights: {'; '.join(said)}.", ""]


def main() -> None:
    files = [json.loads(Path(path).read_text()) for path in sys.argv[1:]]
    every = [row for rows in files for row in rows]
    every.sort(key=lambda row: (row["vectors"], row["docs"]))
    by_size: dict[tuple[str, int], list[dict]] = {}
    for row in every:
        by_size.setdefault((row["vectors"], row["docs"]), []).append(row)
    lines = ["## Peers' medians over ours", ""]
    lines += [*summary([])[:2]]
    for rows in by_size.values():
        lines += summary(rows)[2:-1]
    lines += ["", *rounding(every), "## Every row", ""]
    for rows in by_size.values():
        for case in cases(rows):
            lines += table(case)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
