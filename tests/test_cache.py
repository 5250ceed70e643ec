"""The one cache on disk: whole entries, rows by text, its limit, damage, several processes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid.errors import StorageError, UsageError
from hybrid.machine.cache import IN_USE, Cache, cache_key, chosen_cache, text_digest, user_root

A, B, C = (text_digest(text) for text in "abc")


def write(content: str = "kept") -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "file.txt").write_text(content)

    return fill


def read(folder: Path | None) -> str:
    assert folder is not None
    return (folder / "sub" / "file.txt").read_text()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_the_root_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HYBRID_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Cache().root == user_root() == tmp_path / "hybrid-retrieval"
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "own"))
    assert Cache().root == tmp_path / "own"
    monkeypatch.delenv("HYBRID_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_root() == Path.home() / ".cache" / "hybrid-retrieval"


def test_a_cache_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    assert chosen_cache(True) == Cache(tmp_path)
    assert chosen_cache(False) is None
    assert chosen_cache("there") == Cache(Path("there"))


def test_an_entry_is_absent_or_whole(cache: Cache) -> None:
    assert cache.entry("pools", "a") is None
    assert not cache.root.exists()
    folder = cache.put("pools", "a", write())
    assert read(folder) == "kept"
    assert cache.entry("pools", "a") == folder
    assert cache.entry("models", "a") is None

    def fails(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.put("pools", "b", fails)
    assert cache.entry("pools", "b") is None
    assert [path.name for path in (cache.root / "pools").iterdir()] == ["a"]


def test_whoever_is_first_wins(cache: Cache) -> None:
    cache.put("pools", "a", write("first"))
    assert read(cache.put("pools", "a", write("second"))) == "first"


def test_a_damaged_entry_is_none_and_told(cache: Cache) -> None:
    folder = cache.put("models", "a", write())
    (folder / "sub" / "file.txt").write_text("lost")
    with pytest.warns(RuntimeWarning, match=r"models/a is damaged and was removed"):
        assert cache.entry("models", "a") is None
    assert read(cache.put("models", "a", write("anew"))) == "anew"
    assert read(cache.entry("models", "a")) == "anew"


@pytest.mark.parametrize("name", ["", "..", "a/b", ".a", "a b"])
def test_names_that_lead_elsewhere_are_refused(cache: Cache, name: str) -> None:
    with pytest.raises(UsageError, match="names no cache entry"):
        cache.entry("models", name)
    with pytest.raises(UsageError, match="names no cache entry"):
        cache.put(name, "a", write())


def test_a_cache_that_cannot_be_written_says_where_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = Cache(tmp_path / "file")
    with pytest.raises(StorageError, match="HYBRID_CACHE"):
        cache.put("models", "m", write())
    with pytest.warns(RuntimeWarning, match="goes on without it"):
        cache.put_rows("encodings", "s", [(A, 0, b"1")])
    assert cache.rows("encodings", "s", [(A, 0)]) == [None]


def test_keys_differ_where_values_do() -> None:
    keys = {cache_key(*parts) for parts in [("a", "b"), ("ab",), (["a", "b"],), ({"a": "b"},)]}
    assert len(keys) == 4


def test_rows_are_found_by_kind_space_and_text(cache: Cache) -> None:
    assert cache.rows("encodings", "s", [(A, 0), (B, 0)]) == [None, None]
    cache.put_rows("encodings", "s", [(A, 0, b"one"), (B, 7, b"")])
    wanted = [(B, 7), (C, 0), (A, 0), (A, 0)]
    assert cache.rows("encodings", "s", wanted) == [b"", None, b"one", b"one"]
    assert cache.rows("encodings", "t", [(A, 0)]) == [None]
    assert cache.rows("scores", "s", [(A, 0)]) == [None]
    assert cache.rows("encodings", "s", []) == []
    cache.put_rows("encodings", "s", [(A, 0, b"two")])
    assert cache.rows("encodings", "s", [(A, 0)]) == [b"two"]


def test_the_row_of_the_same_origin_comes_first_and_later_ones_only_if_asked(cache: Cache) -> None:
    cache.put_rows("encodings", "s", [(A, 1, b"one")])
    before = cache.last_row()
    cache.put_rows("encodings", "s", [(A, 2, b"two"), (B, 3, b"three")])
    assert cache.rows("encodings", "s", [(A, 2), (A, 1), (A, 9)]) == [b"two", b"one", b"one"]
    wanted = [(A, 9), (B, 9), (B, 3)]
    assert cache.rows("encodings", "s", wanted, before) == [b"one", None, b"three"]


def test_a_damaged_row_is_none_and_told(cache: Cache) -> None:
    cache.put_rows("encodings", "s", [(A, 0, b"one"), (B, 0, b"two")])
    with sqlite3.connect(cache.root / "rows.sqlite") as file:
        file.execute("UPDATE rows SET value = CAST('x' || value AS BLOB) WHERE text = ?", (A,))
    file.close()
    with pytest.warns(RuntimeWarning, match="1 damaged encodings were removed"):
        assert cache.rows("encodings", "s", [(A, 0), (B, 0)]) == [None, b"two"]
    assert cache.rows("encodings", "s", [(A, 0), (B, 0)]) == [None, b"two"]


@pytest.mark.filterwarnings("ignore:the cache")
def test_a_damaged_file_gives_no_wrong_value_and_is_begun_anew(cache: Cache) -> None:
    rows = [(text_digest(str(number)), number, os.urandom(900)) for number in range(99)]
    wanted, values = [row[:2] for row in rows], [row[2] for row in rows]
    cache.put_rows("encodings", "s", rows)
    path = cache.root / "rows.sqlite"
    lost = 0
    for place in range(0, path.stat().st_size, 16384):
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"\xff" * 12000)
        found = cache.rows("encodings", "s", wanted)
        assert all(each in (None, value) for each, value in zip(found, values, strict=True))
        lost += None in found
        cache.clear()
        for _ in range(2):  # the first of them may be what finds the damage
            cache.put_rows("encodings", "s", rows)
        assert cache.rows("encodings", "s", wanted) == values
    assert lost > 1


def test_a_damaged_file_is_told(cache: Cache) -> None:
    cache.root.mkdir()
    (cache.root / "rows.sqlite").write_bytes(b"no database" * 999)
    with pytest.warns(RuntimeWarning, match=r"rows\.sqlite is damaged .* and was removed"):
        assert cache.rows("encodings", "s", [(A, 0)]) == [None]


def test_what_was_not_used_for_the_longest_time_goes(cache: Cache) -> None:
    def fill(folder: Path) -> None:
        (folder / "bytes").write_bytes(bytes(100_000))

    fetched = cache.put("models", "fetched", fill)
    os.utime(fetched, (time.time() - 9 * IN_USE,) * 2)
    for number, age in enumerate([5 * IN_USE, 3 * IN_USE, 0]):
        folder = cache.put("converted", str(number), fill)
        os.utime(folder, (time.time() - age,) * 2)
    values = [(text_digest(str(number)), 0, bytes(20_000)) for number in range(10)]
    cache.put_rows("encodings", "s", values)
    with sqlite3.connect(cache.root / "rows.sqlite") as file:
        file.execute("UPDATE rows SET used = ?", (int(time.time() - 4 * IN_USE),))
    file.close()
    size = sum(path.stat().st_size for path in cache.root.rglob("*")) - 100_000
    held = {each.kind: each.entries for each in cache.holdings()}
    assert held == {"converted": 3, "encodings": 10, "models": 1}

    Cache(cache.root, limit=size - 50_000).put("pools", "a", lambda _: None)
    assert cache.entry("converted", "0") is None
    assert None not in cache.rows("encodings", "s", [row[:2] for row in values])
    with sqlite3.connect(cache.root / "rows.sqlite") as file:  # found, so they were used
        assert file.execute("SELECT min(used) FROM rows").fetchone()[0] < time.time() - IN_USE
    file.close()

    Cache(cache.root, limit=400_000).put("pools", "a", lambda _: None)
    held = {each.kind: each.entries for each in cache.holdings()}
    assert held == {"converted": 2, "models": 1, "pools": 1}
    Cache(cache.root, limit=1).put("pools", "a", lambda _: None)
    assert cache.entry("converted", "1") is None
    assert cache.entry("converted", "2") is not None  # used within the hour
    assert cache.entry("models", "fetched") is not None  # somebody fetched it on purpose


def test_a_forgotten_text_leaves_no_byte(cache: Cache) -> None:
    secret = os.urandom(50)
    cache.put_rows("encodings", "s", [(A, 0, secret), (A, 1, secret), (B, 0, b"other")])
    cache.put_rows("scores", "t", [(A, 0, secret)])
    assert any(secret in path.read_bytes() for path in cache.root.glob("rows*"))
    assert cache.forget([A, C]) == 3
    assert not any(secret in path.read_bytes() for path in cache.root.glob("rows*"))
    assert not any(A in path.read_bytes() for path in cache.root.glob("rows*"))
    assert cache.rows("encodings", "s", [(A, 0), (B, 0)]) == [None, b"other"]


def test_holdings_are_listed_and_cleared(cache: Cache) -> None:
    assert cache.holdings() == []
    assert cache.clear() == 0
    cache.put("models", "a", write())
    cache.put_rows("encodings", "s", [(A, 0, b"12"), (B, 0, b"345")])
    cache.put_rows("scores", "s", [(A, 0, b"1")])
    listed = cache.holdings()
    assert [(each.kind, each.entries) for each in listed] == [
        ("encodings", 2),
        ("models", 1),
        ("scores", 1),
    ]
    assert listed[0].bytes == 5
    assert all(time.time() - 60 < each.oldest <= each.newest <= time.time() + 1 for each in listed)
    with pytest.raises(UsageError, match="has no 'pools'; it holds encodings, models, scores"):
        cache.clear("pools")
    assert cache.clear("encodings") == 5
    assert [each.kind for each in cache.holdings()] == ["models", "scores"]
    cache.clear()
    assert cache.holdings() == []


PROCESS = """
import sys
from pathlib import Path
from hybrid.machine.cache import Cache, text_digest
cache = Cache(Path(sys.argv[1]), limit=int(sys.argv[2]))
for turn in range(30):
    for number in range(3):
        key = f"{turn}-{number}"
        def write(folder):
            (folder / "text").write_text(key * 1000)
        folder = cache.entry("pools", key) or cache.put("pools", key, write)
        assert (folder / "text").read_text() == key * 1000
    wanted = [(text_digest(f"{turn} {number}"), number) for number in range(200)]
    found = cache.rows("encodings", "s", wanted)
    assert all(each in (None, digest * 100) for each, (digest, _) in zip(found, wanted))
    cache.put_rows("encodings", "s", [(digest, n, digest * 100) for digest, n in wanted])
print(cache.last_row())
"""


@pytest.mark.parametrize("limit", [1 << 30, 1 << 20])
def test_processes_share_a_cache(cache: Cache, limit: int) -> None:
    command = [sys.executable, "-W", "error", "-c", PROCESS, str(cache.root), str(limit)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in running:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    kept = {each.kind: each.entries for each in cache.holdings()}
    assert kept["pools"] == 90
    if limit == 1 << 30:
        assert kept["encodings"] == 6000
        wanted = [(text_digest("29 7"), 7)]
        assert cache.rows("encodings", "s", wanted) == [text_digest("29 7") * 100]
