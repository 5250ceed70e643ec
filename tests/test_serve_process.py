"""A server process: its address, slow clients, its stop; the commands beside it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hybrid.errors import UsageError
from hybrid.search.index import open_index
from hybrid.serve.log import replay

QUERY = {"query": "merge sorted lists"}


@contextmanager
def served(index: Path, *options: str, **environment: str) -> Iterator[tuple[str, int]]:
    """Yield the address and the process id of ``hybrid serve``, stopped at the end."""
    command = [sys.executable, "-m", "hybrid", "serve", str(index), "--port", "0", *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert " at http://" in line, process.communicate()[1]
            yield line.rsplit(" ", 1)[1].strip(), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert errors.splitlines()[-1] == "stopped"
        assert "Traceback" not in errors


def seconds_until_cut(address: str, sent: bytes) -> tuple[float, bytes]:
    """Return how long a connection lasts that sends this and no more, and what it received."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        began, received = time.monotonic(), b""
        connection.sendall(sent)
        while part := connection.recv(4096):
            received += part
        return time.monotonic() - began, received


def is_answered(address: str) -> bool:
    """Return whether the port of a server is open."""
    try:
        return httpx.get(f"{address}/health").is_success
    except httpx.TransportError:
        return False


@pytest.mark.serve
def test_a_process_serves_logs_and_stops(tiny_index: Path, tmp_path: Path) -> None:
    log = tmp_path / "searches.jsonl"
    options = ("--log", str(log), "--log-text", "--timeout", "1.5")
    with served(tiny_index, *options) as (address, _):
        with open_index(tiny_index) as index:
            expected = [hit.doc_id for hit in index.search(QUERY["query"])]
        found = httpx.post(f"{address}/search", json=QUERY).json()
        assert [hit["doc_id"] for hit in found["hits"]] == expected
        assert httpx.get(f"{address}/", headers={"Host": "evil.example"}).status_code == 421
        raw = httpx.get(f"{address}/documents/a%2Fb%3Fc%23%E2%98%83")
        assert raw.json()["error"] == "the index has no document 'a/b?c#☃'"
        host = b"Host: 127.0.0.1\r\n"
        slow = b"POST /search HTTP/1.1\r\n" + host + b"Content-Length: 9\r\n\r\n{"
        for sent, answer in ((b"", b""), (b"GET / HTTP/1.1\r\nX", b""), (slow, b" 408 ")):
            seconds, received = seconds_until_cut(address, sent)
            assert 1 < seconds < 12
            assert answer in received[:20]
        huge = b"POST /search HTTP/1.1\r\n" + host + b"Content-Length: 9999999999\r\n\r\n"
        assert b" 413 " in seconds_until_cut(address, huge)[1][:20]
    with open_index(tiny_index) as one, open_index(tiny_index) as other:
        same = replay(log, one, other)
    assert (same.queries, same.overlaps, same.changed) == ((QUERY["query"],), (1.0,), [])


@pytest.mark.serve
def test_a_request_at_work_is_answered_before_the_end(tiny_index: Path) -> None:
    body = json.dumps(QUERY).encode()
    head = b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with served(tiny_index) as (address, pid):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
            httpx.get(f"{address}/health")  # by then the head of the other was read
            os.kill(pid, signal.SIGTERM)
            while is_answered(address):
                time.sleep(0.05)
            connection.sendall(body[5:])
            received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200")
    assert b"heapq.merge" in received


@pytest.mark.serve
def test_a_process_without_the_right_key(tiny_index: Path) -> None:
    with served(tiny_index, HYBRID_API_KEYS="one\ntwo") as (address, _):
        assert httpx.post(f"{address}/search", json=QUERY).status_code == 401
        two = {"X-API-Key": "two"}
        assert httpx.post(f"{address}/search", json=QUERY, headers=two).status_code == 200


@pytest.mark.serve
def test_another_address_needs_a_key(tiny_index: Path) -> None:
    command = [sys.executable, "-m", "hybrid", "serve", str(tiny_index), "--host", "0.0.0.0"]
    environment = {k: v for k, v in os.environ.items() if k != "HYBRID_API_KEYS"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "set HYBRID_API_KEYS" in " ".join(done.stderr.split())


def test_replay_of_changed_indexes(tiny_index: Path, tiny_copy: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [
        {"query": text, "k": 2, "filter": None, "hashed": False}
        for text in ("seed", "merge sorted lists", "seed")
    ]
    log.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    with open_index(tiny_index) as one, open_index(tiny_copy) as other:
        (first, *_) = one.search("seed", 2)
        other.delete([first.doc_id])
        found = replay(log, one, other)
    assert found.queries == ("seed", "merge sorted lists")
    assert 0 in found.changed
    assert found.overlaps[0] == 0.5
    assert found.to_dict()["changed"][0]["overlap"] <= 0.5
    assert "2 queries" in found.lines()[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no searches"),
        ("{}\n", "line 1"),
        ("nonsense\n", "line 1"),
        ('{"query": "ab", "k": 1, "filter": null, "hashed": true}\n', "--log-text"),
    ],
)
def test_logs_that_cannot_be_replayed(
    tiny_index: Path, tmp_path: Path, text: str, message: str
) -> None:
    log = tmp_path / "log"
    with open_index(tiny_index) as index:
        with pytest.raises(UsageError, match="no file"):
            replay(log, index, index)
        log.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            replay(log, index, index)
