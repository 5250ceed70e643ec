"""An installed wheel used outside of its checkout: ``python wheel_smoke.py`` in an empty folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import hybrid


def main() -> None:
    """Build, search and read the bundled queries with the installed package."""
    assert Path(sys.prefix) in Path(hybrid.__file__).parents, hybrid.__file__
    rows = [
        {"_id": "a", "text": "merge sorted lists into one"},
        {"_id": "b", "text": "read a json file"},
        {"_id": "c", "text": "roll two dice"},
    ]
    Path("corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hybrid.build_index(hybrid.open_source("corpus.jsonl"), "small.idx")
    with hybrid.open("small.idx") as index:
        assert index.branches == ("bm25", "sparse", "dense"), index.branches
        hits = index.search("combine ordered lists", k=2)
    assert hits[0].doc_id == "a", hits
    source = hybrid.open_source("stdlib")
    assert len(list(source.queries("test"))) > 100
    print(f"{hybrid.__version__}: built, searched, {hits[0].doc_id} first; 1 passed, 0 failed")


if __name__ == "__main__":
    main()
