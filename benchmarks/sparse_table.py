"""Print the results of sparse_engines.py as Markdown tables, with ratios to `ours`.

python benchmarks/sparse_table.py docs/results/sparse_engines-*.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def table(rows: list[dict]) -> list[str]:
    first = rows[0]
    machine = first["machine"]
    lines = [
        f"### {first['docs']:,} documents, {first['kind']} queries "
        f"({first['query_terms']} terms), top {first['k']}",
        "",
        "| engine | p50 ms | p99 ms | times ours | recall | exact | build s | index MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ours = next((row["p50_ms"] for row in rows if row["engine"] == "ours"), None)
    for row in sorted(rows, key=lambda row: row["p50_ms"]):
        exact = {True: "yes", False: "no", None: ""}[row["exact"]]
        recall = "" if row["recall"] is None else f"{row['recall']:.3f}"
        ratio = f"{row['p50_ms'] / ours:.1f}" if ours else ""
        lines.append(
            f"| {row['engine']} {row['version']} | {row['p50_ms']:.3f} | {row['p99_ms']:.2f} "
            f"| {ratio} | {recall} | {exact} | {row['build_s']:.1f} | {row['index_mb']:.0f} |"
        )
    lines += [
        "",
        f"Reading the {first['postings']:,} postings of the median query, 2 bytes each, at "
        f"{machine['read_gb_s']} GB/s takes {first['limit_ms']:.3f} ms: the limit of an exhaustive "
        "search.",
        "",
    ]
    return lines


def main() -> None:
    for path in sys.argv[1:]:
        rows = json.loads(Path(path).read_text())
        for kind in dict.fromkeys(row["kind"] for row in rows):
            for k in dict.fromkeys(row["k"] for row in rows):
                chosen = [row for row in rows if (row["kind"], row["k"]) == (kind, k)]
                print("\n".join(table(chosen)))


if __name__ == "__main__":
    main()
