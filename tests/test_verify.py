from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybrid.build.create import build_index
from hybrid.errors import CorruptIndexError, IndexFormatError
from hybrid.index.storage.generation import open_generation
from hybrid.index.storage.retention import generation_names
from hybrid.index.storage.writer import new_generation
from hybrid.index.verify import repair_index, verify_index
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import ENCODERS, Memory, document


@pytest.fixture
def index_dir(tmp_path: Path) -> Path:
    """Two segments, a deletion, three generations of which two are kept."""
    encoders = {"sparse": HashSparse(), "dense": HashDense()}
    build_index(
        Memory([document(number) for number in range(300)]), tmp_path / "idx", encoders=encoders
    )
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    index.add([document(number) for number in range(300, 310)])
    index.delete(["d0005"])
    return tmp_path / "idx"


def directory(index_dir: Path) -> Path:
    with open_generation(index_dir) as generation:
        return generation.directory


def rewrite(index_dir: Path, name: str, change: object) -> None:
    """Commit a generation with one array changed: every checksum is right, the contents are not."""

    def changed(array: np.ndarray) -> np.ndarray:
        change(array)  # type: ignore[operator]
        return array

    replaced(index_dir, name, changed)


def replaced(index_dir: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Commit a generation with another array in place of one."""
    with new_generation(index_dir, create=False) as generation:
        assert generation.parent is not None
        generation.reuse(*(each for each in generation.parent.manifest.files if each != name))
        array = np.load(generation.parent.path(name))
        (generation.directory / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(generation.directory / name, np.ascontiguousarray(change(array)))
        generation.commit(generation.parent.content)


def test_a_whole_index_verifies(index_dir: Path) -> None:
    for deep in (False, True):
        report = verify_index(index_dir, deep=deep)
        assert report.is_whole, report.problems
        assert report.files == len(open_generation(index_dir).manifest.files)
        assert report.bytes == open_generation(index_dir).size
        assert report.to_dict()["whole"] is True


def test_every_damaged_file_is_named(index_dir: Path) -> None:
    folder = directory(index_dir) / "segments" / "000001"
    for name in ("documents/texts.arrow", "dense/vectors.npy"):
        path = folder / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    problems = verify_index(index_dir).problems
    assert len(problems) == 2
    assert "vectors.npy is damaged: checksum" in problems[0]
    assert "texts.arrow is damaged: checksum" in problems[1]


def test_what_is_no_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(IndexFormatError):
        verify_index(tmp_path)
    with pytest.raises(IndexFormatError):
        repair_index(tmp_path)


def put(position: object, value: object) -> object:
    def change(array: np.ndarray) -> None:  # type: ignore[type-arg]
        array[position] = value

    return change


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("segments/000001/dense/vectors.npy", put((3, 3), np.nan), "a vector is not finite"),
        ("segments/000001/sparse/order.npy", put(0, 1), "no permutation"),
        ("segments/000001/sparse/place.npy", put(0, 2**30), "not the inverse of their order"),
        ("segments/000001/sparse/place.npy", put(0, -1), "not the inverse of their order"),
        ("segments/000001/sparse/head_starts.npy", put((0, 1), 0), "leaves its tile"),
        ("segments/000001/sparse/head_starts.npy", put((0, 0), 1), "leaves its tile"),
        ("segments/000001/sparse/scales.npy", put(0, np.inf), "a scale is not a positive number"),
        ("segments/000001/sparse/spans.npy", put((5, 1), 2**40), "outside of their array"),
        ("segments/000001/sparse/spans.npy", put((5, 0), -1), "outside of their array"),
        ("segments/000001/sparse/heads.npy", put(0, 999), "do not fit their rows"),
        ("segments/000001/sparse/head_stream.npy", put(slice(None), 0x01FF), "leaves its tile"),
        ("segments/000002/sparse/tail_places.npy", put(-1, 60_000), "names no document"),
        ("segments/000002/sparse/tail_codes.npy", put(0, 0), "zero, negative"),
        ("numbering/places.npy", put(0, 5000), "the numbering does not fit"),
    ],
)
def test_a_deep_look_finds_what_checksums_cannot(
    index_dir: Path, name: str, change: object, problem: str
) -> None:
    rewrite(index_dir, name, change)
    assert verify_index(index_dir).is_whole
    problems = verify_index(index_dir, deep=True).problems
    assert any(problem in each for each in problems), problems


def test_repair_goes_back_to_the_last_whole_generation(index_dir: Path) -> None:
    newest, before = generation_names(index_dir)
    path = directory(index_dir) / "numbering" / "places.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(CorruptIndexError):
        Index(index_dir, encoders=ENCODERS).document("d0001")
    report = repair_index(index_dir)
    assert (report.before, report.after, report.dropped) == (newest, before, (newest,))
    assert generation_names(index_dir) == [before]
    assert len(Index(index_dir, encoders=ENCODERS)) == 310  # as before the deletion
    assert verify_index(index_dir, deep=True).is_whole


@pytest.mark.parametrize("damage", ["cut", "lost"])
def test_repair_finds_the_generation_when_current_is_damaged(index_dir: Path, damage: str) -> None:
    newest = generation_names(index_dir)[0]
    if damage == "cut":
        (index_dir / "CURRENT").write_bytes(b"hybrid")
        with pytest.raises(CorruptIndexError):
            Index(index_dir)
    else:
        (index_dir / "CURRENT").unlink()
        with pytest.raises(IndexFormatError):
            Index(index_dir)
    assert repair_index(index_dir).after == newest
    assert len(Index(index_dir)) == 309


def test_repair_of_a_whole_index_changes_nothing(index_dir: Path) -> None:
    names = generation_names(index_dir)
    report = repair_index(index_dir)
    assert (report.before, report.after, report.dropped) == (names[0], names[0], ())
    assert generation_names(index_dir) == names


def test_repair_gives_up_where_nothing_is_whole(index_dir: Path) -> None:
    for path in index_dir.rglob("ids.arrow"):
        path.write_bytes(b"")
    with pytest.raises(CorruptIndexError, match="none of the 2 generations"):
        repair_index(index_dir)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cuts", lambda array: np.zeros((len(array), 3), dtype=np.uint32)),
        ("place", lambda array: array[:-1]),
        ("order", lambda array: array.astype(np.int64)),
        ("head_starts", lambda array: array[:, :-1]),
        ("head_maxima", lambda array: array[:, :-1]),
        ("spans", lambda array: array[:-1]),
        ("heads", lambda array: array.astype(np.uint8)),
        ("tail_codes", lambda array: np.zeros(len(array) + 1, dtype=np.uint8)),
        ("frequencies", lambda array: array[:-1]),
    ],
)
def test_a_sparse_array_of_another_shape_or_type_is_refused_at_opening(
    index_dir: Path, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    replaced(index_dir, f"segments/000001/sparse/{name}.npy", change)
    with pytest.raises(CorruptIndexError, match=name):
        Index(index_dir, encoders=ENCODERS).search("merge", k=1, fusion="sparse")


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"format": 1}', '{"format": 1, "nnz": "x"}'])
def test_a_description_that_is_none_is_refused(index_dir: Path, text: str) -> None:
    with new_generation(index_dir, create=False) as generation:
        assert generation.parent is not None
        name = "segments/000001/sparse/sparse.json"
        generation.reuse(*(each for each in generation.parent.manifest.files if each != name))
        (generation.directory / name).write_text(text)
        generation.commit(generation.parent.content)
    with pytest.raises(CorruptIndexError, match=r"sparse\.json"):
        Index(index_dir, encoders=ENCODERS).search("merge", k=1, fusion="sparse")
