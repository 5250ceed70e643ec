# ruff: noqa: PT012  (what is under test is a `with` block)
from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hybrid.errors import (
    CorruptIndexError,
    HybridError,
    IndexFormatError,
    IndexLockedError,
    OutputExistsError,
    StorageError,
    UsageError,
)
from hybrid.index.storage import disk
from hybrid.index.storage.generation import read_current
from hybrid.index.storage.manifest import MANIFEST, parse_manifest
from hybrid.index.storage.retention import generation_names
from hybrid.index.storage.writer import new_generation, open_generation
from hybrid.machine import files


def tree(path: Path) -> dict[str, bytes]:
    """Every file below ``path`` with its bytes, but for the lock's text."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "LOCK"
    }


def build(index: Path, text: bytes = b"one", count: int = 1) -> None:
    with new_generation(index, create=True) as generation:
        (generation.directory / "branch").mkdir()
        (generation.directory / "branch" / "data.bin").write_bytes(text)
        (generation.directory / "small.json").write_bytes(b"{}")
        generation.commit({"documents": count})


def test_a_built_index_opens_with_what_was_committed(tmp_path: Path) -> None:
    build(tmp_path / "idx", b"one")
    with open_generation(tmp_path / "idx") as generation:
        assert generation.content == {"documents": 1}
        assert generation.path("branch/data.bin").read_bytes() == b"one"
        assert generation.folder("branch") == generation.directory / "branch"
        assert generation.names() == ["branch/data.bin", "small.json"]
        assert generation.size == len(b"one") + len(b"{}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx"]


def test_an_existing_output_is_refused_untouched(tmp_path: Path) -> None:
    for name, prepare in (("folder", Path.mkdir), ("file", Path.touch)):
        prepare(tmp_path / name)
        before = sorted(tmp_path.rglob("*"))
        with (
            pytest.raises(OutputExistsError, match=name),
            new_generation(tmp_path / name, create=True),
        ):
            pytest.fail("the block must not run")
        assert sorted(tmp_path.rglob("*")) == before


def test_an_output_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputExistsError),
        new_generation(tmp_path / "idx", create=True) as generation,
    ):
        (tmp_path / "idx").mkdir()
        (tmp_path / "idx" / "mine").touch()
        generation.commit({})
    assert [entry.name for entry in (tmp_path / "idx").iterdir()] == ["mine"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx"]


@pytest.mark.parametrize("error", [ValueError("x"), UsageError("x"), KeyboardInterrupt()])
def test_an_error_while_building_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), new_generation(tmp_path / "idx", create=True) as generation:
        (generation.directory / "data.bin").write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_block_without_commit_changes_nothing(tmp_path: Path) -> None:
    with new_generation(tmp_path / "idx", create=True) as generation:
        (generation.directory / "data.bin").write_bytes(b"half")
    assert list(tmp_path.iterdir()) == []


def test_the_workspace_outlives_an_interrupt_and_a_bad_input_but_not_a_commit(
    tmp_path: Path,
) -> None:
    index = tmp_path / "idx"
    with pytest.raises(KeyboardInterrupt), new_generation(index, create=True) as generation:
        (generation.workspace / "shard-0").write_bytes(b"encoded")
        raise KeyboardInterrupt
    with pytest.raises(UsageError), new_generation(index, create=True) as generation:
        assert (generation.workspace / "shard-0").read_bytes() == b"encoded"
        raise UsageError("bad input")
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx.building"]
    with new_generation(index, create=True) as generation:
        assert (generation.workspace / "shard-0").read_bytes() == b"encoded"
        generation.commit({})
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx"]


def test_a_second_generation_reuses_files_and_keeps_the_first(tmp_path: Path) -> None:
    index = tmp_path / "idx"
    build(index)
    first = open_generation(index)
    with new_generation(index, create=False) as generation:
        generation.reuse("branch")
        (generation.directory / "small.json").write_bytes(b'{"domain": 1}')
        generation.commit({"documents": 2})
    second = open_generation(index)
    assert (first.content["documents"], second.content["documents"]) == (1, 2)
    assert first.path("small.json").read_bytes() == b"{}"
    assert second.path("small.json").read_bytes() == b'{"domain": 1}'
    shared = [each.path("branch/data.bin").stat() for each in (first, second)]
    assert shared[0].st_ino == shared[1].st_ino
    assert generation_names(index) == [second.name, first.name]


def test_old_generations_go_when_no_reader_holds_them(tmp_path: Path) -> None:
    index = tmp_path / "idx"
    build(index)
    first = open_generation(index)
    for _ in range(4):
        with new_generation(index, create=False) as generation:
            generation.reuse("branch", "small.json")
            generation.commit({})
    numbers = [name[:6] for name in generation_names(index)]
    assert numbers == ["000005", "000004", "000001"]  # current, one kept, one being read
    assert first.path("branch/data.bin").read_bytes() == b"one"
    first.close()
    with new_generation(index, create=False, keep=0) as generation:
        generation.commit({})
    assert [name[:6] for name in generation_names(index)] == ["000006"]


def test_reuse_needs_a_parent_that_has_the_file(tmp_path: Path) -> None:
    with new_generation(tmp_path / "idx", create=True) as generation:
        with pytest.raises(UsageError, match="no earlier generation"):
            generation.reuse("branch")
        generation.commit({})
        with pytest.raises(UsageError, match="committed already"):
            generation.commit({})
    with (
        new_generation(tmp_path / "idx", create=False) as generation,
        pytest.raises(UsageError, match="'branch'"),
    ):
        generation.reuse("branch")


def test_an_error_while_extending_leaves_the_old_index_whole(tmp_path: Path) -> None:
    index = tmp_path / "idx"
    build(index)
    before = tree(index)
    with pytest.raises(RuntimeError), new_generation(index, create=False) as generation:
        generation.reuse("branch")
        (generation.directory / "new").write_bytes(b"x")
        raise RuntimeError
    assert tree(index) == before


WRITER = """
import os, sys, time
from hybrid.index.storage.writer import new_generation
with new_generation(sys.argv[1], create=sys.argv[2] == "create") as generation:
    (generation.directory / "half.bin").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def start_writer(index: Path, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(index), mode]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


@pytest.mark.parametrize("mode", ["create", "extend"])
def test_a_second_writer_is_refused_and_a_dead_one_recovered(tmp_path: Path, mode: str) -> None:
    index = tmp_path / "idx"
    if mode == "extend":
        build(index)
    writer = start_writer(index, mode)
    try:
        with (
            pytest.raises(IndexLockedError, match=rf"process {writer.pid} on .* since \d{{4}}-"),
            new_generation(index, create=mode == "create"),
        ):
            pytest.fail("the block must not run")
        assert index.exists() == (mode == "extend")
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    with new_generation(index, create=mode == "create") as generation:
        assert list(generation.directory.iterdir()) == []
        generation.commit({"documents": 7})
    assert open_generation(index).content == {"documents": 7}
    assert not list(tmp_path.rglob("half.bin"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx"]


def test_a_writer_whose_folder_is_removed_under_it_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = files.make_folders, []

    def make(path: Path) -> None:
        real(path)
        if len(gone) < 3:  # as the last holder of the lock does when it ends
            gone.append(path)
            path.rmdir()

    monkeypatch.setattr(files, "make_folders", make)
    build(tmp_path / "idx")
    assert gone == [tmp_path / "idx.building"] * 3
    with open_generation(tmp_path / "idx") as generation:
        assert generation.content == {"documents": 1}


def test_a_first_build_that_finds_the_index_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, index = files.make_folders, tmp_path / "idx"

    def make(path: Path) -> None:
        if not index.exists():  # between the look for the index and the lock, another made it
            monkeypatch.setattr(files, "make_folders", real)
            build(index)
        real(path)

    monkeypatch.setattr(files, "make_folders", make)
    with pytest.raises(OutputExistsError):
        build(index)
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx"]


def test_a_first_build_that_always_loses_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "make_folders", lambda path: None)
    with pytest.raises(IndexLockedError, match="removed by other writers"):
        build(tmp_path / "idx")


def test_first_builds_at_the_same_time_are_one_and_refusals(tmp_path: Path) -> None:
    outcomes: list[str] = []

    def work(number: int) -> None:
        for turn in range(50):
            try:
                with new_generation(tmp_path / "idx", create=True) as generation:
                    if turn < 49:
                        raise KeyError  # ends without a commit, and removes what it made
                    generation.commit({"documents": number})
                outcomes.append("built")
            except KeyError:
                outcomes.append("ended")
            except (IndexLockedError, OutputExistsError) as error:
                outcomes.append(type(error).__name__)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, number) for number in range(4)]:
            done.result()  # raises what is neither
    assert outcomes.count("built") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx"]


@pytest.mark.parametrize("create", [True, False])
def test_leftovers_that_cannot_be_removed_are_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    index = tmp_path / "idx"
    if not create:
        build(index)
    monkeypatch.setattr(disk, "remove_tree", lambda path: None)
    for _ in range(2):
        with pytest.raises(UsageError), new_generation(index, create=create) as generation:
            (generation.directory / "stale").touch()
            raise UsageError
    with new_generation(index, create=create) as generation:
        generation.commit({"documents": 3})
    with open_generation(index) as opened:
        assert opened.names() == []
        assert opened.content == {"documents": 3}


def test_one_process_cannot_write_twice(tmp_path: Path) -> None:
    build(tmp_path / "idx")
    with (
        new_generation(tmp_path / "idx", create=False),
        pytest.raises(IndexLockedError, match=f"process {os.getpid()} "),
        new_generation(tmp_path / "idx", create=False),
    ):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, None])
@pytest.mark.parametrize("create", [True, False])
def test_a_full_disk_is_said_and_changes_nothing(
    tmp_path: Path, number: int | None, create: bool
) -> None:
    index = tmp_path / "idx"
    if not create:
        build(index)
    before = tree(tmp_path)
    full = OSError("4096 requested and 0 written") if number is None else OSError(number, "full")
    with (
        pytest.raises(StorageError, match=r"disk is full .* nothing was changed"),
        new_generation(index, create=create) as generation,
    ):
        (generation.directory / "data.bin").write_bytes(b"half")
        raise full
    assert tree(tmp_path) == before


def test_other_os_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_generation(tmp_path / "idx", create=True):
        (tmp_path / "absent").read_bytes()


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def test_a_flipped_byte_is_named_before_use_and_only_then(tmp_path: Path) -> None:
    build(tmp_path / "idx", b"x" * 5000)
    generation = open_generation(tmp_path / "idx")
    flip(generation.directory / "branch" / "data.bin", 4321)
    again = open_generation(tmp_path / "idx")  # the size is right, and nothing was read yet
    again.path("small.json")
    with pytest.raises(CorruptIndexError, match=r"branch/data\.bin is damaged: checksum \w+, exp"):
        again.path("branch/data.bin")
    with pytest.raises(CorruptIndexError, match=r"branch/data\.bin"):
        again.folder("branch")


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "truncated": lambda index, directory: os.truncate(directory / "branch" / "data.bin", 1),
    "missing": lambda index, directory: (directory / "branch" / "data.bin").unlink(),
    "linked": lambda index, directory: (
        (directory / "small.json").rename(index / "elsewhere"),
        (directory / "small.json").symlink_to(index / "elsewhere"),
    ),
    "folder linked": lambda index, directory: (
        (directory / "branch").rename(index / "elsewhere"),
        (directory / "branch").symlink_to(index / "elsewhere"),
    ),
    "manifest flipped": lambda index, directory: flip(directory / MANIFEST, 40),
    "manifest missing": lambda index, directory: (directory / MANIFEST).unlink(),
    "generation missing": lambda index, directory: directory.rename(index / "elsewhere"),
    "current flipped": lambda index, directory: flip(index / "CURRENT", 70),
    "current truncated": lambda index, directory: os.truncate(index / "CURRENT", 30),
    "current empty": lambda index, directory: os.truncate(index / "CURRENT", 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_on_opening(tmp_path: Path, damage: str) -> None:
    index = tmp_path / "idx"
    build(index)
    DAMAGES[damage](index, open_generation(index).directory)
    with pytest.raises(CorruptIndexError, match=r"Run `hybrid verify --repair`"):
        open_generation(index)


def test_every_bit_of_current_counts(tmp_path: Path) -> None:
    index = tmp_path / "idx"
    build(index)
    whole = (index / "CURRENT").read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            flip(index / "CURRENT", position, bit)
            with pytest.raises(IndexFormatError):
                open_generation(index)
            (index / "CURRENT").write_bytes(whole)


def test_another_format_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    index = tmp_path / "idx"
    build(index)
    text = f"hybrid-index 9\ncreated-by hybrid-retrieval 3.0\ngeneration {read_current(index)}\n"
    last = f"checksum {disk.checksum(text.encode())}\n"
    (index / "CURRENT").write_text(text + last)
    with pytest.raises(
        IndexFormatError, match=r"format 9 \(written by .* 3\.0\).* reads formats 1 to 2"
    ):
        open_generation(index)


def test_what_is_no_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(IndexFormatError, match="does not exist"):
        open_generation(tmp_path / "absent")
    with pytest.raises(IndexFormatError, match="holds no CURRENT"):
        open_generation(tmp_path)
    with (
        pytest.raises(IndexFormatError, match="holds no CURRENT"),
        new_generation(tmp_path, create=False),
    ):
        pytest.fail("the block must not run")
    assert list(tmp_path.iterdir()) == []


GOOD = {
    "format": "hybrid-index",
    "format_version": 1,
    "number": 1,
    "created_by": "x",
    "created_at": "y",
    "content": {},
    "files": {"a/b.npy": [3, "0" * 32]},
}


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../b": [3, "0" * 32]}},
        {"files": {"/etc/passwd": [3, "0" * 32]}},
        {"files": {"a/../../b": [3, "0" * 32]}},
        {"files": {"a\\b": [3, "0" * 32]}},
        {"files": {"": [3, "0" * 32]}},
        {"files": {".hidden": [3, "0" * 32]}},
        {"files": {"a//b": [3, "0" * 32]}},
        {"files": {"a\n": [3, "0" * 32]}},
        {"files": {"b": [-1, "0" * 32]}},
        {"files": {"b": [1 << 60, "0" * 32]}},
        {"files": {"b": [True, "0" * 32]}},
        {"files": {"b": [1.5, "0" * 32]}},
        {"files": {"b": [3, "0" * 31]}},
        {"files": {"b": [3]}},
        {"files": {"b": None}},
        {"files": [1]},
        {"number": True},
        {"content": None},
        {"format": "zip"},
        {"format_version": 3},
        {"format_version": 2.0},
        {"format_version": True},
    ],
)
def test_a_hostile_manifest_is_refused(change: dict[str, object]) -> None:
    assert parse_manifest(json.dumps(GOOD).encode(), "m").files["a/b.npy"].size == 3
    with pytest.raises(IndexFormatError):
        parse_manifest(json.dumps({**GOOD, **change}).encode(), "m")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{", b"[" * 100_000, b"null"])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptIndexError):
        parse_manifest(data, "m")


def test_a_file_name_that_no_reader_would_accept_is_refused_at_commit(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="-bad"),
        new_generation(tmp_path / "idx", create=True) as generation,
    ):
        (generation.directory / "-bad").touch()
        generation.commit({})
    with (
        pytest.raises(HybridError, match="neither a folder nor a regular file"),
        new_generation(tmp_path / "idx", create=True) as generation,
    ):
        (generation.directory / "link").symlink_to("/etc/passwd")
        generation.commit({})
    assert list(tmp_path.iterdir()) == []


def test_an_index_may_be_read_only_and_moved(tmp_path: Path) -> None:
    build(tmp_path / "idx")
    (tmp_path / "idx").rename(tmp_path / "moved")
    for path in [*(tmp_path / "moved").rglob("*"), tmp_path / "moved"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert open_generation(tmp_path / "moved").path("small.json").read_bytes() == b"{}"
    finally:
        for path in [tmp_path / "moved", *(tmp_path / "moved").rglob("*")]:
            path.chmod(0o755)
