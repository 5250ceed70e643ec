"""From a DataFrame to a filtered, reranked search that shows its hits.

    python examples/dataframe_search.py shop.idx

Models of your own: python examples/dataframe_search.py shop.idx DENSE RERANKER
"""

from __future__ import annotations

import sys

import pandas as pd

import hybrid

PRODUCTS = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "title": ["Heap", "Queue", "Socket", "Clock"],
        "text": [
            "merge sorted lists with a heap",
            "a queue of sorted numbers",
            "open a socket in a thread",
            "the time zone of a date",
        ],
        "price": [12.5, 40.0, 7.0, 99.0],
    }
)


def main(path: str, dense: str = "builtin:minilm", rerank: str = "builtin:cross-encoder") -> None:
    """Build an index of the table and search it."""
    options = hybrid.BuildOptions(sparse=None, dense=dense)
    reading = hybrid.SourceOptions(fields=("price",))
    hybrid.build_index(PRODUCTS, path, options, reading=reading)
    with hybrid.open(path) as index:
        hits = index.search(
            "sorted lists", k=2, filter={"price": {"$lt": 50}}, rerank=rerank, rerank_depth=10
        )
        for hit in hits:
            words = [hit.snippet.text[mark.start : mark.end] for mark in hit.snippet.marks]
            print(hit.rank, hit.title, hit.fields["price"], hit.snippet.text, words, sep=" | ")


if __name__ == "__main__":
    main(*sys.argv[1:])
