"""Documents, queries and pairs a second of every built-in model, on one core.

    python benchmarks/offline_models.py CORPUS [--texts 128] [--json FILE]

CORPUS is any source of documents with titles. Short texts are its titles; long ones are its texts,
one after the other, cut after 256 wordpieces. The process is bound to one core; the least processor
time of three passes counts, so other work on the machine matters little. Models whose files are not
there are left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

LONG, PASSES = 256, 3
LOADS = {"sparse": "load_sparse", "dense": "load_dense"}


def texts_of(corpus: str, count: int) -> dict[str, list[str]]:
    """Return titles, and texts of 256 wordpieces, by name."""
    from transformers import AutoTokenizer

    from hybrid.corpus import open_source
    from hybrid.encoders.models.by_name import model_folder

    documents = list(islice(open_source(corpus).documents(), 4 * count))
    tokenizer = AutoTokenizer.from_pretrained(model_folder("builtin:minilm").path)
    ids = tokenizer(" ".join(each.full_text for each in documents), verbose=False)["input_ids"]
    step = LONG - 2
    rows = [ids[start : start + step] for start in range(1, len(ids) - step, step)]
    return {
        "short": [each.title for each in documents if each.title][:count],
        "long": tokenizer.batch_decode(rows[:count]),
    }


def rate(work: Callable[[], Any], count: int) -> float:
    """Return how many of ``count`` are done in a second of processor time, at best."""
    times = []
    for _ in range(PASSES):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return count / min(times)


def measure(spec: str, kind: str, texts: dict[str, list[str]]) -> dict[str, float]:
    """Return the rates of one model by name."""
    import hybrid.encoders

    if kind == "cross":
        cross = hybrid.encoders.load_cross(spec, max_length=LONG)
        pairs = {name: [(texts["short"][0], text) for text in each] for name, each in texts.items()}
        cross.score(pairs["long"][:2])
        return {
            f"{name} texts": rate(lambda given=given: cross.score(given), len(given))
            for name, given in pairs.items()
        }
    encoder = getattr(hybrid.encoders, LOADS[kind])(spec, device="cpu", max_length=LONG)
    encoder.encode_documents(texts["long"][:2])
    found = {
        f"{name} texts": rate(lambda given=given: encoder.encode_documents(given), len(given))
        for name, given in texts.items()
    }

    def one_by_one() -> None:
        for text in texts["short"]:
            encoder.encode_queries([text])

    return found | {"queries, one at a time": rate(one_by_one, len(texts["short"]))}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rates as Markdown."""
    columns = ("short texts", "long texts", "queries, one at a time")
    lines = [f"| model | {' | '.join(columns)} |", "|---|---:|---:|---:|"]
    for row in rows:
        cells = (f"{row[name]:,.0f}" if name in row else "" for name in columns)
        lines.append(f"| `{row['model']}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--json", type=Path, help="write every figure here, too")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import torch

    from hybrid.encoders import list_models
    from hybrid.errors import HybridError

    torch.set_num_threads(1)
    texts = texts_of(given.corpus, given.texts)
    rows = []
    for model in list_models():
        try:
            rows.append({"model": model.spec} | measure(model.spec, model.kind, texts))
        except HybridError as error:
            print(f"{model.spec} is left out: {error}")
    print(table(rows))
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
