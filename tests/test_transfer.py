"""Copies of an index: to folders, to any fsspec place, to a hub repository; what may arrive."""

from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import huggingface_hub
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hybrid.build.create import build_index
from hybrid.errors import (
    CorruptIndexError,
    IndexFormatError,
    MissingPackageError,
    OutputExistsError,
    TransferError,
    UsageError,
)
from hybrid.index import hub, transfer
from hybrid.index.storage.generation import open_generation
from hybrid.index.transfer import pull_index, push_index, restore_index, snapshot_index
from hybrid.search.index import Index
from tests.test_living import ENCODERS, Memory, assert_same, document
from tests.test_verify import directory, index_dir, put, rewrite

__all__ = ["index_dir"]


@contextmanager
def network_gone() -> Iterator[None]:
    """While it lasts, a fetch is cut in the middle of the first vectors."""
    real = transfer._get

    def cut(system: Any, url: str, path: Path, limit: int) -> None:
        real(system, url, path, limit)
        if path.name == "vectors.npy":
            with path.open("r+b") as file:
                file.truncate(limit // 2)
            raise OSError("the network is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "_get", cut)
        yield


def same(one: Path, other: Path) -> None:
    assert_same(Index(one, encoders=ENCODERS), Index(other, encoders=ENCODERS))


def test_a_snapshot_is_the_same_index_and_so_is_what_is_restored(
    index_dir: Path, tmp_path: Path
) -> None:
    snapshot_index(index_dir, tmp_path / "snapshot")
    same(tmp_path / "snapshot", index_dir)
    restore_index(tmp_path / "snapshot", tmp_path / "restored")
    same(tmp_path / "restored", index_dir)
    with pytest.raises(OutputExistsError):
        snapshot_index(index_dir, tmp_path / "restored")


def test_a_snapshot_of_a_damaged_index_leaves_nothing(index_dir: Path, tmp_path: Path) -> None:
    path = directory(index_dir) / "numbering" / "places.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(CorruptIndexError):
        snapshot_index(index_dir, tmp_path / "snapshot")
    assert [each.name for each in tmp_path.iterdir()] == ["idx"]


@pytest.mark.parametrize("url", ["{}/far", "file://{}/far", "memory://far"])
def test_pushed_and_pulled_it_is_the_same(index_dir: Path, tmp_path: Path, url: str) -> None:
    place = url.format(tmp_path) + index_dir.parent.name
    push_index(index_dir, place)
    with pytest.raises(OutputExistsError):
        push_index(index_dir, place)
    pull_index(place, tmp_path / "near")
    same(tmp_path / "near", index_dir)


def test_what_arrives_damaged_or_too_long_is_refused(index_dir: Path, tmp_path: Path) -> None:
    push_index(index_dir, str(tmp_path / "far"))
    path = next((tmp_path / "far").rglob("ids.arrow"))
    whole = path.read_bytes()
    for data in (whole[:-1] + b"\xff", whole + b"x", whole[:-1]):
        path.write_bytes(data)
        with pytest.raises(CorruptIndexError):
            pull_index(str(tmp_path / "far"), tmp_path / "near")
        assert not list(tmp_path.glob("near*"))
    with pytest.raises(IndexFormatError, match="no CURRENT"):
        pull_index(str(tmp_path / "nowhere"), tmp_path / "near")


UNSOUND = [
    ("segments/000001/sparse/place.npy", put(0, 2**30), "not the inverse"),
    ("segments/000001/sparse/spans.npy", put((5, 1), 2**40), "outside of their array"),
    ("segments/000001/dense/vectors.npy", put((3, 3), np.inf), "not finite"),
    ("numbering/places.npy", put(0, 5000), "numbering does not fit"),
]


@pytest.mark.parametrize(("name", "change", "problem"), UNSOUND)
@pytest.mark.parametrize("fetch", [pull_index, restore_index])
def test_what_has_right_checksums_and_hostile_contents_is_refused(
    index_dir: Path, tmp_path: Path, name: str, change: object, problem: str, fetch: Any
) -> None:
    rewrite(index_dir, name, change)
    snapshot_index(index_dir, tmp_path / "copy")
    with pytest.raises(CorruptIndexError, match=problem):
        fetch(str(tmp_path / "copy"), tmp_path / "near")
    assert not list(tmp_path.glob("near*"))


def test_a_place_that_cannot_be_reached_is_named(index_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"nonsense://me:\*{3}@x cannot be read or written"):
        push_index(index_dir, "nonsense://me:s3cret@x")
    with pytest.raises(TransferError, match="nonsense://x"):
        pull_index("nonsense://x", tmp_path / "near")
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(OutputExistsError, match="plain"):
        push_index(index_dir, str(tmp_path / "plain"))
    assert (tmp_path / "plain").read_text() == "a file"
    assert not list(tmp_path.glob("near*"))


def test_a_kind_of_place_whose_package_is_missing_is_said(
    index_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(MissingPackageError, match="Install s3fs"):
        push_index(index_dir, "s3://bucket/name")


# Hub repositories


class FakeFiles(MemoryFileSystem):
    """The files of every commit of every repository, as ``owner/name@commit/path``."""

    protocol = "hf"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("hf://").strip("/")


class FakeHub:
    """What the hub's API does with one repository a name, commit by commit."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], list[dict[str, bytes]]] = {}
        self.created: list[dict[str, Any]] = []

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.created.append({"repo_id": repo_id, **options})
        self.repositories.setdefault((options["repo_type"], repo_id), [{}])

    def file_exists(self, repo_id: str, filename: str, *, repo_type: str, revision: Any) -> bool:
        return filename in self.repositories.get((repo_type, repo_id), [{}])[-1]

    def create_commit(
        self, repo_id: str, operations: Any, *, commit_message: str, repo_type: str, revision: Any
    ) -> None:
        commits = self.repositories[repo_type, repo_id]
        files = dict(commits[-1])
        for each in operations:
            part = each.path_or_fileobj
            files[each.path_in_repo] = part if isinstance(part, bytes) else Path(part).read_bytes()
        commits.append(files)
        kind = "datasets/" if repo_type == "dataset" else ""
        for name, data in files.items():
            FakeFiles().pipe_file(f"hf://{kind}{repo_id}@{len(commits) - 1:040}/{name}", data)

    def repo_info(self, repo_id: str, *, repo_type: str, revision: str | None) -> Any:
        if (repo_type, repo_id) not in self.repositories:
            raise OSError(f"404: no repository {repo_id}")
        last = len(self.repositories[repo_type, repo_id]) - 1
        return SimpleNamespace(sha=f"{last if revision is None else int(revision):040}")


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    api = FakeHub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    real = fsspec.get_filesystem_class("hf")
    fsspec.register_implementation("hf", FakeFiles, clobber=True)
    FakeFiles.store.clear()
    yield api
    fsspec.register_implementation("hf", real, clobber=True)


@pytest.mark.parametrize("url", ["hf://me/index", "hf://datasets/me/index", "hf://me/index/a/b"])
def test_a_hub_repository_gets_one_commit_and_gives_it_back(
    index_dir: Path, tmp_path: Path, fake_hub: FakeHub, url: str
) -> None:
    push_index(index_dir, url)
    kind = "dataset" if "datasets" in url else "model"
    made = {"repo_id": "me/index", "repo_type": kind, "private": True, "exist_ok": True}
    assert fake_hub.created == [made]
    assert len(fake_hub.repositories[kind, "me/index"]) == 2
    with pytest.raises(OutputExistsError, match="holds an index"):
        push_index(index_dir, url)
    pull_index(url, tmp_path / "near")
    same(tmp_path / "near", index_dir)
    with Index(index_dir, encoders=ENCODERS) as folder, opened(url) as there:
        assert_same(there, folder)


def test_a_revision_of_a_hub_repository_stays_what_it_was(
    index_dir: Path, tmp_path: Path, fake_hub: FakeHub
) -> None:
    push_index(index_dir, "hf://me/index")
    fake_hub.repositories["model", "me/index"].append({})
    pull_index("hf://me/index@1", tmp_path / "near")
    same(tmp_path / "near", index_dir)
    with pytest.raises(IndexFormatError, match="no CURRENT"):
        pull_index("hf://me/index", tmp_path / "now")
    with pytest.raises(TransferError, match="404"):
        pull_index("hf://me/other", tmp_path / "other")
    assert not list(tmp_path.glob("other*"))


@pytest.mark.parametrize(
    "url", ["hf://index", "hf://me/index/../x", "hf://me/index@", "hf://a/b c"]
)
def test_what_is_no_hub_repository_is_said(index_dir: Path, url: str) -> None:
    with pytest.raises(UsageError, match="no hub repository"):
        push_index(index_dir, url)


def test_a_pinned_url_names_the_commit(fake_hub: FakeHub) -> None:
    fake_hub.create_repo("me/index", repo_type="dataset")
    assert hub.pinned("hf://datasets/me/index@0/a") == f"hf://datasets/me/index@{0:040}/a"


# Opened at a URL


@pytest.fixture
def pushed(index_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the index, with a cache of its own."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    url = f"memory://opened{tmp_path.name}{tmp_path.parent.name}"
    push_index(index_dir, url)
    return url


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are fetched from a URL, in order, one for each request."""
    found: list[str] = []
    real = MemoryFileSystem._open

    def noted(self: MemoryFileSystem, path: str, mode: str = "rb", **more: Any) -> Any:
        if mode == "rb":
            found.append(re.sub(r".*/\d{6}-\w{32}/", "", path))
        return real(self, path, mode, **more)

    monkeypatch.setattr(MemoryFileSystem, "_open", noted)
    return found


def opened(url: str) -> Index:
    return Index(url, encoders=ENCODERS)


def test_an_index_is_opened_at_a_url_and_only_what_changed_is_fetched(
    index_dir: Path, pushed: str, asked: list[str]
) -> None:
    with Index(index_dir, encoders=ENCODERS) as folder, opened(pushed) as there:
        assert_same(there, folder)
        with pytest.raises(UsageError, match="change the index in its folder"):
            there.delete(["d0001"])
        named = pickle.loads(pickle.dumps(there))  # noqa: S301
        assert_same(named, folder)
    del asked[:]
    opened(pushed).close()
    assert [name.rpartition("/")[2] for name in asked] == ["CURRENT"]
    Index(index_dir, encoders=ENCODERS).add([document(number) for number in range(400, 420)])
    with opened(pushed) as before:
        push_index(index_dir, pushed)
        del asked[:]
        with Index(index_dir, encoders=ENCODERS) as folder, opened(pushed) as now:
            assert_same(now, folder)
            assert len(before) + 20 == len(now) == len(folder)
        assert before.search("merge sort", 3)  # its files stay while it is open
    assert "segments/000003/dense/vectors.npy" in asked
    assert not [each for each in asked if each.startswith("segments/000001")]


def test_an_interrupted_fetch_goes_on(
    index_dir: Path, tmp_path: Path, pushed: str, asked: list[str]
) -> None:
    with network_gone(), pytest.raises(TransferError, match="the network is gone"):
        opened(pushed)
    assert not list((tmp_path / "cache").glob("remote/*/CURRENT"))
    begun = [name for name in asked if name.startswith("segments")]
    del asked[:]
    with Index(index_dir, encoders=ENCODERS) as folder, opened(pushed) as there:
        assert_same(there, folder)
    assert set(begun) & set(asked) == {begun[-1]}


def test_what_was_damaged_in_the_cache_is_fetched_again(
    index_dir: Path, tmp_path: Path, pushed: str
) -> None:
    opened(pushed).close()
    (entry,) = (tmp_path / "cache").glob("remote/*")
    path = next(entry.rglob("ids.arrow"))
    path.write_bytes(path.read_bytes()[:-1])
    arriving = entry / "arriving" / path.relative_to(entry)
    arriving.parent.mkdir(parents=True)
    arriving.write_bytes(b"x" * 10)  # of a fetch that a power cut ended
    with Index(index_dir, encoders=ENCODERS) as folder, opened(pushed) as there:
        assert_same(there, folder)
    assert not (entry / "arriving").exists()


def test_damage_at_equal_size_is_fetched_again(
    index_dir: Path, tmp_path: Path, pushed: str
) -> None:
    with opened(pushed) as there:
        by_name = pickle.dumps(there)
    for again in (lambda: opened(pushed), lambda: pickle.loads(by_name)):  # noqa: S301
        for path in (tmp_path / "cache").rglob("vectors.npy"):
            data = path.read_bytes()
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 255]))
        with Index(index_dir, encoders=ENCODERS) as folder, again() as there:
            assert_same(there, folder)
    Index(index_dir, encoders=ENCODERS).delete(["d0007"])
    push_index(index_dir, pushed)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 255]))  # it would be linked
    with Index(index_dir, encoders=ENCODERS) as folder, opened(pushed) as there:
        assert_same(there, folder)


def test_what_a_url_has_damaged_is_not_opened(tmp_path: Path, pushed: str) -> None:
    files = MemoryFileSystem()
    name = next(each for each in files.find(pushed) if each.endswith("ids.arrow"))
    whole = files.cat_file(name)
    for data in (whole[:-1] + b"\xff", whole + b"x", whole[:-1]):
        files.pipe_file(name, data)
        with pytest.raises(CorruptIndexError):
            opened(pushed)
        assert not list((tmp_path / "cache").glob("remote/*/CURRENT"))
    with pytest.raises(IndexFormatError, match="memory://none holds no index"):
        opened("memory://none")


def test_a_push_to_a_url_changes_it_last_and_only_to_a_later_generation(
    index_dir: Path, tmp_path: Path, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {each.name for each in (index_dir / "generations").iterdir()}
    shutil.copytree(index_dir, tmp_path / "other")
    with Index(index_dir, encoders=ENCODERS) as index:
        index.delete(["d0007"])
    real = MemoryFileSystem.pipe_file
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", None, raising=False)
    with pytest.raises(TransferError):
        push_index(index_dir, pushed)
    with opened(pushed) as there:
        assert there.view().contents.documents.find("d0007") is not None
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", real)
    push_index(index_dir, pushed)
    with opened(pushed) as there:
        assert there.view().contents.documents.find("d0007") is None
    for folder in (index_dir, tmp_path / "other"):
        with pytest.raises(OutputExistsError, match="it may be another index"):
            push_index(folder, pushed)
    with Index(index_dir, encoders=ENCODERS) as index:
        index.delete(["d0008"])
    push_index(index_dir, pushed)
    left = {
        each.rpartition("/")[2]
        for each in MemoryFileSystem().ls(f"{pushed}/generations", detail=False)
    }
    assert len(left) == 2
    assert not left & first


def test_another_index_of_the_same_name_and_a_higher_number_is_not_replaced(
    index_dir: Path, tmp_path: Path, pushed: str
) -> None:
    other = tmp_path / "other"
    build_index(Memory([document(number) for number in range(5)]), other, encoders=ENCODERS)
    for number in range(5, 9):
        with Index(other, encoders=ENCODERS) as index:
            index.add([document(number)])
    with open_generation(other) as new, open_generation(index_dir) as old:
        assert new.manifest.number > old.manifest.number
        assert new.content["source"] == old.content["source"]
    before = {name: MemoryFileSystem().cat_file(name) for name in MemoryFileSystem().find(pushed)}
    with pytest.raises(OutputExistsError, match="it may be another index"):
        push_index(other, pushed)
    assert before == {name: MemoryFileSystem().cat_file(name) for name in before}
    with Index(index_dir, encoders=ENCODERS) as folder, opened(pushed) as there:
        assert_same(there, folder)
        for number in (600, 601):  # the folder keeps one earlier generation
            folder.add([document(number)])
    with pytest.raises(OutputExistsError, match="push after each change"):
        push_index(index_dir, pushed)
