"""An index in a bucket of a server that speaks S3, on loopback."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hybrid
from hybrid.errors import IndexFormatError, MissingPackageError, OutputExistsError, TransferError
from hybrid.index import transfer
from hybrid.search.index import Index
from tests.conformance.servers import s3_server
from tests.test_living import ENCODERS, assert_same, document
from tests.test_verify import index_dir

__all__ = ["index_dir"]
pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]
s3fs = pytest.importorskip("s3fs", reason="the extra s3 is not installed")
pytest.importorskip("moto.server", reason="moto is not installed")
URL = "s3://shelf/papers/my.idx"


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with s3_server() as made:
        yield made


def allow(server: Any, requests: bytes) -> None:
    """Let so many requests be made with any credentials."""
    url, plain = f"{server.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    asked = urllib.request.Request(url, requests, plain, method="POST")
    urllib.request.urlopen(asked, timeout=10).close()


@pytest.fixture(autouse=True)
def bucket(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file system, with an empty bucket, and a cache of its own."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    if files.exists("shelf"):
        files.rm("shelf", recursive=True)
    files.mkdir("shelf")
    return files


def opened(url: str = URL) -> Index:
    return hybrid.open(url, encoders=ENCODERS)


def test_an_index_is_pushed_opened_changed_and_opened_again(index_dir: Path, bucket: Any) -> None:
    hybrid.push_index(index_dir, URL)
    with opened(index_dir) as folder, opened() as there:
        assert_same(there, folder)
        folder.update([document(number, 1) for number in (3, 500)])
        hybrid.push_index(index_dir, URL)
        with opened() as now:
            assert_same(now, folder)
        assert there.search("merge sort", 3)
    assert len(bucket.ls("shelf/papers/my.idx/generations")) == 2


def test_an_index_is_built_there(tmp_path: Path, bucket: Any) -> None:
    documents, encoders = [document(number) for number in range(50)], {"dense": ENCODERS["dense"]}
    with pytest.raises(TransferError, match="there is no 'other'"):
        hybrid.build_index(documents, "s3://other/my.idx", encoders=encoders)
    for place in (URL, tmp_path / "idx"):
        hybrid.build_index(documents, place, encoders=encoders)
    with pytest.raises(OutputExistsError, match="holds an index"):
        hybrid.build_index(documents, URL, encoders=encoders)
    with opened(tmp_path / "idx") as folder, opened() as there:
        for query in ("merge sort", "queue"):
            assert there.search(query, 20) == folder.search(query, 20)
    assert sorted(bucket.ls(URL, detail=False)) == [f"{URL[5:]}/CURRENT", f"{URL[5:]}/generations"]
    assert not list((tmp_path / "cache").glob("builds/*"))


def test_a_server_that_ends_in_the_middle_costs_what_was_under_way(
    index_dir: Path, tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid.push_index(index_dir, URL)
    real, fetched = transfer._get, []

    def cut(system: Any, url: str, path: Path, limit: int) -> None:
        if len(fetched) == 8:
            server.stop()
        real(system, url, path, limit)
        fetched.append(path.name)

    monkeypatch.setattr(transfer, "_get", cut)
    try:
        with pytest.raises(TransferError, match="s3://shelf"):
            opened()
    finally:
        server.start()
    assert not list((tmp_path / "cache").glob("remote/*/CURRENT"))
    monkeypatch.setattr(transfer, "_get", real)
    with opened(index_dir) as folder, opened() as there:
        assert_same(there, folder)


def test_what_is_not_there_and_wrong_credentials_are_said(
    index_dir: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IndexFormatError, match="s3://shelf/none holds no index"):
        opened("s3://shelf/none")
    with pytest.raises(IndexFormatError, match="s3://other/none holds no index"):
        opened("s3://other/none")
    with pytest.raises(TransferError, match="there is no 'other'"):
        hybrid.push_index(index_dir, "s3://other/my.idx")
    hybrid.push_index(index_dir, URL)
    allow(server, b"0")
    try:
        for ask in (opened, lambda: hybrid.push_index(index_dir, URL)):
            with pytest.raises(TransferError, match="your access rights"):
                ask()
    finally:
        allow(server, b"inf")


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(MissingPackageError, match=r"hybrid-retrieval\[s3\]"):
        opened()
