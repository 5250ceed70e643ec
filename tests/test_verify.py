from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybrid.build import build_index
from hybrid.errors import CorruptIndexError, IndexFormatError, OutputExistsError
from hybrid.indexes.generation import open_generation
from hybrid.indexes.store import generation_names, new_generation
from hybrid.indexes.transfer import pull, push, restore, snapshot
from hybrid.indexes.verify import repair_index, verify_index
from hybrid.retrieve import Index
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import ENCODERS, Memory, assert_same, document


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
    with new_generation(index_dir, create=False) as generation:
        assert generation.parent is not None
        generation.reuse(*(each for each in generation.parent.manifest.files if each != name))
        array = np.load(generation.parent.path(name))
        change(array)  # type: ignore[operator]
        (generation.directory / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(generation.directory / name, array)
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


def test_a_snapshot_is_the_same_index_and_so_is_what_is_restored(
    index_dir: Path, tmp_path: Path
) -> None:
    snapshot(index_dir, tmp_path / "snapshot")
    original = Index(index_dir, encoders=ENCODERS)
    assert_same(Index(tmp_path / "snapshot", encoders=ENCODERS), original)
    restore(tmp_path / "snapshot", tmp_path / "restored")
    assert_same(Index(tmp_path / "restored", encoders=ENCODERS), original)
    with pytest.raises(OutputExistsError):
        snapshot(index_dir, tmp_path / "restored")


def test_a_snapshot_of_a_damaged_index_leaves_nothing(index_dir: Path, tmp_path: Path) -> None:
    path = directory(index_dir) / "numbering" / "places.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(CorruptIndexError):
        snapshot(index_dir, tmp_path / "snapshot")
    assert [each.name for each in tmp_path.iterdir()] == ["idx"]


@pytest.mark.parametrize("url", ["{}/far", "file://{}/far", "memory://far"])
def test_pushed_and_pulled_it_is_the_same(index_dir: Path, tmp_path: Path, url: str) -> None:
    pytest.importorskip("fsspec")
    place = url.format(tmp_path) + index_dir.parent.name
    push(index_dir, place)
    with pytest.raises(OutputExistsError):
        push(index_dir, place)
    pull(place, tmp_path / "near")
    original = Index(index_dir, encoders=ENCODERS)
    assert_same(Index(tmp_path / "near", encoders=ENCODERS), original)


def test_what_arrives_damaged_or_too_long_is_refused(index_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    push(index_dir, str(tmp_path / "far"))
    path = next((tmp_path / "far").rglob("ids.arrow"))
    whole = path.read_bytes()
    for data in (whole[:-1] + b"\xff", whole + b"x", whole[:-1]):
        path.write_bytes(data)
        with pytest.raises(CorruptIndexError):
            pull(str(tmp_path / "far"), tmp_path / "near")
        assert not list(tmp_path.glob("near*"))
    with pytest.raises(IndexFormatError, match="no CURRENT"):
        pull(str(tmp_path / "nowhere"), tmp_path / "near")
