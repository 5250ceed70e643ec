"""An index folder that somebody else made: what is written into it stays inside, or is refused."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hybrid.errors import CorruptIndexError, IndexFormatError, StorageError
from hybrid.index.hybrid import HybridIndex
from hybrid.index.storage import disk, lock, retention, writer
from hybrid.index.storage.disk import checksum
from hybrid.index.storage.generation import GENERATIONS, open_generation
from hybrid.index.storage.manifest import MANIFEST, parse_manifest
from hybrid.index.storage.retention import generation_names
from hybrid.index.storage.writer import new_generation, write_current
from hybrid.index.transfer import snapshot_index
from hybrid.index.verify import repair_index
from hybrid.machine import files
from hybrid.search.index import Index
from tests.test_living import ENCODERS, document
from tests.test_living import build as living
from tests.test_store import build, tree

# Links


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the index, with what nobody may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "diary").write_text("mine")
    (folder / "notes").mkdir()
    return folder


def change(index: Path) -> None:
    with new_generation(index, create=False) as generation:
        (generation.workspace / "shard").write_text("x")
        generation.reuse("small.json")
        generation.commit({})


def link_lock(index: Path, outside: Path) -> None:
    (index / "LOCK").unlink()
    (index / "LOCK").symlink_to(outside / "diary")


def link_generations(index: Path, outside: Path) -> None:
    """The generation is really there, beside what else lies where the link leads."""
    for entry in (index / GENERATIONS).iterdir():
        entry.rename(outside / entry.name)
    (index / GENERATIONS).rmdir()
    (index / GENERATIONS).symlink_to(outside)


def link_workspace(index: Path, outside: Path) -> None:
    (index / "workspace").symlink_to(outside)


def link_in_workspace(index: Path, outside: Path) -> None:
    (index / "workspace").mkdir()
    (index / "workspace" / ".state.json").symlink_to(outside / "diary")


def link_current(index: Path, outside: Path) -> None:
    os.mkfifo(outside / "pipe")
    (index / "CURRENT").unlink()
    (index / "CURRENT").symlink_to(outside / "pipe")


@pytest.mark.parametrize(
    "link", [link_lock, link_generations, link_workspace, link_in_workspace, link_current]
)
def test_a_writer_follows_no_link(
    tmp_path: Path, outside: Path, link: Callable[[Path, Path], None]
) -> None:
    index = tmp_path / "idx"
    build(index)
    link(index, outside)
    before = tree(outside)
    with pytest.raises((CorruptIndexError, StorageError), match=r"is a link|a regular file"):
        change(index)
    assert tree(outside) == before
    assert (outside / "notes").is_dir()
    if link is link_generations:
        with pytest.raises(CorruptIndexError, match="is a link"):
            open_generation(index)
        with pytest.raises(CorruptIndexError, match="is a link"):
            repair_index(index)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    index = tmp_path / "idx"
    build(index)
    for path in (index / "LOCK", index / GENERATIONS / generation_names(index)[0] / MANIFEST):
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(CorruptIndexError, match="is not a regular file"):
            change(index)


def test_what_is_no_generation_is_left_where_it_is(tmp_path: Path) -> None:
    index = tmp_path / "idx"
    build(index)
    (index / GENERATIONS / "notes").mkdir()
    (index / GENERATIONS / "unfinished-000002-x").mkdir()
    (index / GENERATIONS / f"000002-{'0' * 32}").mkdir()
    change(index)
    assert sorted(path.name for path in (index / GENERATIONS).iterdir()) == [
        *sorted(generation_names(index)), "notes",
    ]  # fmt: skip
    assert len(generation_names(index)) == 2


# Manifests with right checksums


def forged(index: Path, edit: Callable[[dict[str, Any]], None], number: int = 1) -> None:
    """Change the manifest of the current generation, and all that vouches for it."""
    (current,) = generation_names(index)
    folder = index / GENERATIONS / current
    record = json.loads((folder / MANIFEST).read_text())
    edit(record)
    data = json.dumps(record).encode()
    (folder / MANIFEST).write_bytes(data)
    made = f"{number:06d}-{checksum(data)}"
    folder.rename(index / GENERATIONS / made)
    write_current(index, made, 1)


def test_a_generation_has_the_number_of_its_name(tmp_path: Path) -> None:
    build(tmp_path / "idx")
    forged(tmp_path / "idx", lambda record: record.update(number=10**12))
    with pytest.raises(CorruptIndexError, match="is of generation 1000000000000"):
        open_generation(tmp_path / "idx")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
def test_numbers_that_json_does_not_have_are_refused(number: str) -> None:
    with pytest.raises(CorruptIndexError, match="is not JSON"):
        parse_manifest(f'{{"content": {{"x": {number}}}}}'.encode(), "m")


def test_a_current_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "idx")
    text = b"hybrid-index 1\ncreated-by \xff\ngeneration ../../x\n"
    (tmp_path / "idx" / "CURRENT").write_bytes(text + f"checksum {checksum(text)}\n".encode())
    with pytest.raises(IndexFormatError, match="names no generation"):
        open_generation(tmp_path / "idx")


def renamed(values: dict[str, Any], name: str) -> None:
    values[name] = values.pop("dense")


CONTENTS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "a branch outside": lambda content: renamed(content["branches"], "../../../../evil"),
    "a branch of a taken name": lambda content: renamed(content["branches"], "segments"),
    "a kind": lambda content: content["branches"]["dense"].update(kind="other"),
    "a model": lambda content: content["branches"]["dense"].update(encoder={}),
    "a segment": lambda content: content.update(segments=[["../../evil", 6]]),
    "a segment of no number": lambda content: content.update(segments=[["first", 6]]),
}


@pytest.mark.parametrize("edit", CONTENTS.values(), ids=CONTENTS)
def test_names_of_branches_and_segments_stay_inside(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    living(tmp_path / "idx", map(document, range(6))).close()
    forged(tmp_path / "idx", lambda record: edit(record["content"]))
    before = tree(tmp_path)
    with pytest.raises(CorruptIndexError, match="lacks what an index needs"):
        Index(tmp_path / "idx", encoders=ENCODERS)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("size", [10**12, 10**6, -1])
def test_sizes_that_the_files_cannot_hold_take_no_memory(tmp_path: Path, size: int) -> None:
    living(tmp_path / "idx", map(document, range(6))).close()
    named = {"document_count": size, "segments": [["000001", size]]}
    forged(tmp_path / "idx", lambda record: record["content"].update(named))
    with pytest.raises(CorruptIndexError, match=r"gives segment 000001 -?[0-9,]+ documents"):
        _ = Index(tmp_path / "idx", encoders=ENCODERS).contents.documents


# Disks that fail


def failing(number: int, at: int = 0) -> Callable[..., Any]:
    """Return a call that fails with this error when it is called the ``at``-th time."""
    calls = iter(range(1000))

    def call(*arguments: Any, **named: Any) -> Any:
        if next(calls) == at:
            raise OSError(number, os.strerror(number))
        return None

    return call


def test_a_lock_that_cannot_be_written_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "idx")
    with monkeypatch.context() as patch:
        patch.setattr(lock.os, "pwrite", failing(errno.ENOSPC))
        with pytest.raises(StorageError, match="the disk is full"):
            change(tmp_path / "idx")
    change(tmp_path / "idx")


def test_a_switch_that_was_made_but_not_to_last_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "idx")
    with open_generation(tmp_path / "idx") as before, monkeypatch.context() as patch:
        real = files.sync

        def sync(path: Path) -> None:
            real(path)
            if path == tmp_path / "idx":
                raise OSError(errno.EIO, "failed")

        patch.setattr(files, "sync", sync)
        with pytest.raises(StorageError, match="what was asked for is done, but a power cut may"):
            change(tmp_path / "idx")
    with open_generation(tmp_path / "idx") as after:
        assert after.name != before.name


def test_copies_are_fsynced_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "idx")
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    def no_link(*arguments: object, **named: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(disk.os, "fsync", fsync)
    monkeypatch.setattr(disk.os, "link", no_link)
    change(tmp_path / "idx")
    assert any(path.endswith("/small.json") for path in synced)


def test_the_folders_above_a_new_index_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    real = files.sync
    monkeypatch.setattr(files, "sync", lambda path: (synced.append(path), real(path)))
    build(tmp_path / "new" / "deep" / "idx")
    assert synced.index(tmp_path) < synced.index(tmp_path / "new") < len(synced)


def test_a_copy_that_came_out_damaged_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "idx")

    def copy(source: Path, target: Path) -> None:
        data = bytearray(source.read_bytes())
        data[0] ^= 1
        target.write_bytes(data)

    monkeypatch.setattr("hybrid.index.transfer.shutil.copyfile", copy)
    with pytest.raises(CorruptIndexError, match=r"branch/data.bin came out damaged: 3 bytes"):
        snapshot_index(tmp_path / "idx", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


# What was never committed


def test_a_generation_that_was_never_current_is_not_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "idx"
    build(index)
    change(index)
    *_, first = generation_names(index)
    committed = generation_names(index)[0]
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_current", failing(errno.EIO))
        with pytest.raises(StorageError):
            change(index)
    lost = generation_names(index)[0]
    assert lost > committed > first
    # The current one is damaged: the way back is to the first, not to what was given up.
    (index / GENERATIONS / committed / "small.json").unlink()
    assert repair_index(index).after == first


def test_a_new_generation_is_above_what_could_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "idx"
    build(index)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_current", failing(errno.EIO))
        with pytest.raises(StorageError):
            change(index)
    left = generation_names(index)[0]
    with monkeypatch.context() as patch:
        patch.setattr(retention, "remove_generation", lambda directory: None)
        change(index)
    with open_generation(index) as generation:
        assert (left[:6], generation.name[:6]) == ("000002", "000003")
    change(index)
    assert left not in generation_names(index)


def test_a_million_generations_are_still_in_order(tmp_path: Path) -> None:
    index = tmp_path / "idx"
    build(index)
    (first,) = generation_names(index)
    forged(index, lambda record: record.update(number=999_999), 999_999)
    for _ in range(3):
        change(index)
    names = generation_names(index)
    assert [name.partition("-")[0] for name in names] == ["1000002", "1000001"]
    assert first not in names
    with open_generation(index) as generation:
        assert generation.name == names[0]


def test_an_index_opened_whole_is_as_before(tmp_path: Path) -> None:
    """The checks above let an ordinary index through, one with fields, passages and changes too."""
    index = living(tmp_path / "idx", map(document, range(6)))
    index.add([document(9)])
    index.delete(["d0001"])
    with open_generation(tmp_path / "idx") as generation:
        assert HybridIndex(generation).numbering.sizes == (6, 1)
