"""An opened index handed to another process reads the same generation there."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import shutil
from pathlib import Path

import pytest

import hybrid
from hybrid.errors import IndexFormatError
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import Memory, document

ENCODERS = {"sparse": HashSparse(16), "dense": HashDense(4)}


def built(folder: Path) -> hybrid.Index:
    hybrid.build_index(Memory([document(n) for n in range(12)]), folder, encoders=ENCODERS)
    return hybrid.open(folder, encoders=ENCODERS)


def found(index: hybrid.Index) -> list[tuple[str, float]]:
    return [(hit.doc_id, hit.score) for hit in index.search("red", k=5, fusion="rrf")]


def test_a_spawned_process_gives_the_same_hits(tmp_path: Path) -> None:
    with built(tmp_path / "idx") as index, multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(found, (index,)) == found(index)


def test_it_reads_the_generation_that_was_open_whatever_came_since(tmp_path: Path) -> None:
    with built(tmp_path / "idx") as index:
        before, handed = found(index), pickle.dumps(index)
        index.delete([before[0][0]])
        assert found(index) != before
        with hybrid.open(tmp_path / "idx", encoders=ENCODERS) as now:
            assert found(now) == found(index)
        index.reopen()
        assert found(pickle.loads(handed)) == before  # noqa: S301  (made above)


def test_a_generation_that_is_gone_is_said(tmp_path: Path) -> None:
    with built(tmp_path / "idx") as index:
        handed = pickle.dumps(index)
    shutil.rmtree(tmp_path / "idx")
    with pytest.raises(IndexFormatError, match=r"open it here with hybrid\.open"):
        pickle.loads(handed)  # noqa: S301  (made above)


def test_a_copy_is_an_index_of_its_own(tmp_path: Path) -> None:
    with built(tmp_path / "idx") as index, copy.copy(index) as other:
        assert found(other) == found(index)
