"""Indexes at a web server that sends no parts of files: passwords, cuts, and what is not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from hybrid.errors import CorruptIndexError, HybridError, IndexFormatError, TransferError
from hybrid.index import transfer
from hybrid.index.storage.manifest import MANIFEST
from hybrid.search.index import Index
from tests.test_living import ENCODERS, assert_same
from tests.test_transfer import network_gone
from tests.test_verify import directory, index_dir

__all__ = ["index_dir"]
pytest.importorskip("aiohttp", reason="fsspec needs it for http")
pytestmark = pytest.mark.timeout(60)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def url(index_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of the index at a server that is not asked for the password."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://me:s3cret@127.0.0.1:{server.server_port}/idx"
    server.shutdown()
    server.server_close()


def opened(url: str) -> Index:
    return Index(url, encoders=ENCODERS)


def said(kind: type[HybridError], url: str) -> str:
    with pytest.raises(kind) as refused:
        opened(url)
    return str(refused.value)


def test_no_message_tells_the_password(
    index_dir: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = directory(index_dir)
    manifest = (folder / MANIFEST).read_bytes()
    path = next(folder.rglob("ids.arrow"))
    path.write_bytes(path.read_bytes() + b"x")
    messages = [said(CorruptIndexError, url)]
    (folder / MANIFEST).write_bytes(b"{" + manifest)
    messages.append(said(CorruptIndexError, url))

    def gone(system: Any, url: str, *_: Any) -> None:
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(transfer, "_get", gone)
    messages.append(said(TransferError, url))
    for message, part in zip(messages, ("longer than", "not JSON", "no route to"), strict=True):
        assert part in message
        assert "me:***@127.0.0.1" in message
        assert "s3cret" not in message


def test_a_fetch_that_was_cut_begins_anew_where_the_server_sends_no_parts(
    index_dir: Path, url: str
) -> None:
    with network_gone():
        assert "the network is gone" in said(TransferError, url)
    with Index(index_dir, encoders=ENCODERS) as folder, opened(url) as there:
        assert_same(there, folder)


def test_a_file_of_many_blocks_comes_from_a_server_that_sends_no_parts(
    index_dir: Path, tmp_path: Path, url: str
) -> None:
    from fsspec.implementations.http import HTTPFileSystem

    (tmp_path / "large").write_bytes(bytes(range(256)) * 10_000)
    size = 2_560_000
    system = HTTPFileSystem(block_size=100_000)
    transfer._get(system, url.replace("/idx", "/large"), tmp_path / "got", size)
    assert (tmp_path / "got").read_bytes() == (tmp_path / "large").read_bytes()


def test_a_server_that_is_away_is_told_from_one_without_an_index(index_dir: Path, url: str) -> None:
    assert "holds no index" in said(IndexFormatError, url.replace("idx", "none"))
    shutil.rmtree(index_dir)
    assert "holds no index" in said(IndexFormatError, url)
    away = said(TransferError, "http://me:s3cret@127.0.0.1:1/idx")
    assert "http://me:***@127.0.0.1:1/idx cannot be read or written" in away
    assert "s3cret" not in away
