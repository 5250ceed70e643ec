"""Place: the protocol by which searches read an index, kept by the index in a folder."""

from __future__ import annotations

from pathlib import Path

import hybrid
from hybrid.index.hybrid import HybridIndex
from hybrid.index.place import Place


def test_an_index_in_a_folder_is_a_place(tiny_index: Path) -> None:
    place: Place = HybridIndex.open(tiny_index)
    missing = [name for name in dir(Place) if not name.startswith("_") and not hasattr(place, name)]
    assert not missing
    assert place.generation.checksums.keys() == set(place.generation.names())  # type: ignore[attr-defined]
    assert place.generation.is_there()


def test_an_unheld_place_reads_the_same_and_says_when_it_is_gone(tiny_copy: Path) -> None:
    place = HybridIndex.open(tiny_copy).unheld()
    first = place.documents[0]
    with hybrid.open(tiny_copy) as index:
        index.delete([first.doc_id])
        index.compact(purge=True)
    assert not place.generation.is_there()
