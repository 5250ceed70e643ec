"""Writes the golden index of the newest format: ``python -m tests.golden.make``.

Run it once for each released format version, never to mend a failing test: an index that a release
wrote must go on answering the same, or be refused with a word on what to do.
"""

from __future__ import annotations

import datetime
import json
import shutil
from dataclasses import replace
from pathlib import Path

from hybrid.build.create import build_index
from hybrid.corpus import Document
from hybrid.corpus.fields.types import FieldValue
from hybrid.encoders import Bm25Parameters
from hybrid.index.storage.manifest import FORMAT_VERSION
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import QUERIES, Memory, document

HERE = Path(__file__).parent
ENCODERS = {"sparse": HashSparse(16), "dense": HashDense(4)}
FUSIONS = ("bm25", "sparse", "dense", "rrf(k=60)")


def answers(directory: Path) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """Return the five best (doc_id, score) of each query by each fusion."""
    with Index(directory, encoders=ENCODERS) as index:
        return {
            fusion: {
                query: [(hit.doc_id, hit.score) for hit in index.search(query, k=5, fusion=fusion)]
                for query in QUERIES
            }
            for fusion in FUSIONS
        }


def tagged(number: int, version: int = 0) -> Document:
    """Return a document with fields of the kinds that format 2 added."""
    day = datetime.date(2020, 1, 1) + datetime.timedelta(days=number)
    fields: dict[str, FieldValue] = {"tags": ["red", "blue"][number % 3 :], "day": day}
    fields["at"] = datetime.datetime(2020, 1, 1, number % 24, 30, tzinfo=datetime.timezone.utc)
    return replace(document(number, version), fields=fields)


def main() -> None:
    """Write the index, two segments with a deletion, and its answers."""
    target = HERE / f"format-{FORMAT_VERSION}"
    shutil.rmtree(target, ignore_errors=True)
    source = Memory([tagged(number) for number in range(12)])
    build_index(source, target, encoders={**ENCODERS, "bm25": Bm25Parameters()})
    index = Index(target, encoders=ENCODERS)
    index.update(tagged(number, 1) for number in (3, 12, 13))
    index.delete(["d0005"])
    current = index.contents.generation.name
    for generation in (target / "generations").iterdir():
        if generation.name != current:
            shutil.rmtree(generation)
    (HERE / f"format-{FORMAT_VERSION}.json").write_text(
        json.dumps(answers(target), indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
