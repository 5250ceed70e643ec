"""Write the model card of the built-in models from the records of training and measuring.

    python pipelines/render_card.py

It fills pipelines/builtin_card.md from the shipped record, the training log and the evaluation
(docs/results/builtin-splade.json, by evaluate_builtin.py). It writes the card that ships with the
weights, and docs/results/builtin-splade.md, which is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evaluate_builtin import tables

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "hybrid" / "encoders" / "builtin_data"
RESULTS = ROOT / "docs" / "results" / "builtin-splade"
FRONT = """---
library_name: sentence-transformers
pipeline_tag: feature-extraction
base_model: sentence-transformers/all-MiniLM-L6-v2
language: en
license: apache-2.0
tags: [sparse-encoder, splade]
---
"""
SYSTEMS = ("splade", "splade-doc", "splade + dense", "splade-doc + dense", "splade + dense + bm25")


def held_out_table(log: Iterable[Mapping[str, Any]]) -> str:
    """Return the held-out figures of the log, a row for each model."""
    lines = [f"| model | {' | '.join(SYSTEMS)} | terms |", "|---|" + "---|" * (len(SYSTEMS) + 1)]
    for row in log:
        if row["event"] == "baselines":
            named = ", ".join(f"{k} {v['mean']:.4f}" for k, v in row.items() if type(v) is dict)
        shown = row["event"] in ("start", "released") or row["event"].startswith(("seed", "mean"))
        if shown and "judged" in row:
            cells = " | ".join(f"{row[name]['mean']:.4f}" for name in SYSTEMS)
            terms = f"{row['document_terms']:.0f}, {row['query_terms']:.0f}"
            lines.append(f"| {row['event']} | {cells} | {terms} |")
    return "\n".join([*dict.fromkeys(lines), f"\nFor comparison: {named}."])


def fields() -> dict[str, str]:
    """Return the values of the template's names."""
    record = json.loads((DATA / "splade.json").read_text(encoding="utf-8"))
    log = [
        json.loads(line)
        for line in (ROOT / "pipelines" / "train_builtin.log").read_text().splitlines()
    ]
    last = {row["event"]: row for row in log}
    report = json.loads(RESULTS.with_suffix(".json").read_text(encoding="utf-8"))
    size = last["texts and tokens"]
    steps = [row["steps"] for name, row in last.items() if name.startswith("stage ")]
    return {
        "megabytes": f"{record['bytes'] / 1e6:.2f}",
        "precision": " and ".join(sorted({row["precision"] for row in report["collections"]})),
        "tables": tables(report).strip(),
        "config": record["config_sha256"][:16],
        "texts": f"{size['pairs']:,} pairs over {size['documents'][0]:,} documents.",
        "idf": f"{size['idf']:,}",
        "steps": " and then ".join(f"{count} steps" for count in steps),
        "chosen": last["chosen"]["model"],
        "shift": f"{record['shift']:g}",
        "held_out": held_out_table(log),
        "float16": f"{max(abs(v) for v in last['float16']['lost'].values()):.4f}",
    }


def main() -> None:
    """Write the document and the shipped card."""
    template = Path(__file__).with_name("builtin_card.md").read_text(encoding="utf-8")
    text = template
    for name, value in fields().items():
        text = text.replace(f"{{{name}}}", value)
    RESULTS.with_suffix(".md").write_text(text, encoding="utf-8")
    (DATA / "README.md").write_text(FRONT + text, encoding="utf-8")


if __name__ == "__main__":
    main()
