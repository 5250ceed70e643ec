"""One writer and many readers: nobody ever sees half of one generation and half of another."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid.corpus import Document
from hybrid.errors import HybridError
from hybrid.search.index import Index
from tests.faults.scenarios import ENCODERS, build, forked, state
from tests.faults.size import sized

pytestmark = pytest.mark.faults
READERS = sized(3, 8, 8)
COMMITS = sized(12, 100, 100)


def read_until(stop: Path, index: Path) -> int:
    """Open, search and look up, again and again; return how many different generations were met.

    Each commit writes one number into every one of its documents, so a mixture shows.
    """
    met = set()
    while not stop.exists():
        with Index(index, encoders=ENCODERS) as reader:
            for _ in range(3):
                hits = reader.search("merge sort", k=5, fusion="rrf(k=60)")
                texts = {reader.document(f"m{number}").text.split()[-1] for number in range(3)}
                if len(hits) != 5 or len(texts) != 1:
                    raise HybridError(f"mixed: {texts}, {hits}")
            met.add(texts.pop())
            time.sleep(0.002)
    return len(met)


def started(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        answer = forked(work)
        os._exit(0 if answer == "done" else 1)
    return child


def test_readers_always_see_one_whole_generation(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    index, stop = tmp_path / "idx", tmp_path / "stop"
    build(index)
    writer = Index(index, encoders=ENCODERS)
    writer.update(Document(f"m{number}", "merge sort 0") for number in range(3))
    state(index)  # so that the readers find every kernel compiled
    counts = tmp_path / "counts"
    counts.mkdir()

    def read(number: int) -> None:
        met = read_until(stop, index)
        (counts / str(number)).write_text(str(met))

    readers = [started(lambda number=number: read(number)) for number in range(READERS)]  # type: ignore[misc]
    try:
        for commit in range(1, COMMITS + 1):
            if commit % 10 == 0:
                writer.compact()
            writer.update(Document(f"m{number}", f"merge sort {commit}") for number in range(3))
    finally:
        stop.touch()
        ends = [os.waitpid(reader, 0)[1] for reader in readers]
    assert ends == [0] * READERS
    met = [int(path.read_text()) for path in counts.iterdir()]
    record_property("generations met by each reader", met)
    assert len(met) == READERS
    assert max(met) > 1
    # What the last readers held is removed by the next commit.
    writer.update([Document("m0", "merge sort once more")])
    assert len(list((index / "generations").iterdir())) <= 2
