"""Indexes at a web server and the passwords of their URLs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from hybrid.errors import CorruptIndexError, HybridError, TransferError
from hybrid.index import transfer
from hybrid.index.storage.manifest import MANIFEST
from hybrid.search.index import Index
from tests.test_living import ENCODERS
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
