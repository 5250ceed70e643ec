from __future__ import annotations

import errno
from pathlib import Path

import pytest

from hybrid.errors import OutputExistsError, StorageError
from hybrid.index.storage.writer import new_generation
from hybrid.machine.files import check_new, make_folders, refusals, write_new

NOWHERE = ("/proc/none", "{tmp}/file/new", "{tmp}/link/new", "{tmp}/new/" + "x" * 300)


def places(tmp_path: Path) -> list[Path]:
    """Paths at which nothing can be made."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    return [Path(each.format(tmp=tmp_path)) for each in NOWHERE]


def test_folders_are_made_and_those_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    make_folders(tmp_path / "here" / "a" / "b")
    make_folders(tmp_path / "here" / "a" / "b")
    assert (tmp_path / "here" / "a" / "b").is_dir()


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    paths = places(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for path in paths:
        with pytest.raises(OSError):
            make_folders(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_every_writer_of_an_output_says_that_it_cannot(tmp_path: Path) -> None:
    paths = places(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for path in paths:
        with (
            pytest.raises(StorageError, match=r"cannot be .*; nothing was changed. Give a path"),
            new_generation(path, create=True),
        ):
            pytest.fail("the block must not run")
        for attempt in (lambda path: write_new(path, "text"), check_new):
            with pytest.raises(StorageError, match="cannot be written"):
                attempt(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_text_that_exists_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    with pytest.raises(OutputExistsError):
        write_new(tmp_path / "old", "new")
    assert (tmp_path / "old").read_text() == "old"


def test_a_place_for_a_text_is_checked_beforehand(tmp_path: Path) -> None:
    check_new(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").write_text("old")
    with pytest.raises(OutputExistsError):
        check_new(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"


def test_a_text_that_the_disk_cuts_off_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, text: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path: Path, *_: object, **__: object) -> Full:
        path.touch()
        return Full()

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(StorageError, match="new cannot be written: No space"):
        write_new(tmp_path / "new", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_cannot_be_encoded_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_new(tmp_path / "new", "half a pair: \ud800")
    assert list(tmp_path.iterdir()) == []


def test_the_cause_is_kept() -> None:
    with pytest.raises(StorageError) as raised, refusals("out"):
        raise PermissionError(13, "Permission denied")
    assert isinstance(raised.value.__cause__, PermissionError)
    assert "out cannot be written: Permission denied" in str(raised.value)


def test_a_check_of_an_output_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    before = tmp_path.stat().st_mtime_ns
    check_new(tmp_path / "new")
    assert tmp_path.stat().st_mtime_ns == before
