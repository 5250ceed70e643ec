"""From some forty judged queries and an index to a fusion that programs use.

    python examples/tune_40.py my.idx queries.tsv judgments.qrels

The documents are in the index; their source is not needed.
"""

from __future__ import annotations

import sys

import hybrid


def main(path: str, queries: str, qrels: str) -> None:
    """Tune, store the fusion under a name, and search with it."""
    with hybrid.open(path) as index:
        result = hybrid.tune_index(index, (queries, qrels), hybrid.TuneOptions(trials=20))
        print(*result.lines(), sep="\n")
        index.store_domain("support", result.fusion, report=result.to_dict())
    with hybrid.open(path) as index:  # as any other program does from now on
        for hit in index.search("merge sorted lists", k=3, domain="support"):
            print(hit.rank, hit.doc_id, f"{hit.score:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
