"""A memory limit: how it is said, that a build keeps it, and what happens where it cannot."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybrid.build.create import build_index
from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.build.options import BuildOptions
from hybrid.build.rebuild import RebuildOptions, rebuild_branches
from hybrid.build.shards import Shards
from hybrid.errors import MemoryLimitError, UsageError
from hybrid.machine import memory
from hybrid.machine.memory import Allowance, MemoryLimit, held, parse_size
from hybrid.search.index import Index
from tests.made_encoders import small_shards
from tests.test_living import ENCODERS, Memory, assert_same, build, document

LINUX = pytest.mark.skipif(held() is None, reason="the system does not say what a process holds")


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 << 30), ("512 MiB", 512 << 20), ("1.5g", 3 << 29), ("7", 7), ("1KB", 1024)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1 PB", "2GB2", "1e9", "nan"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)


@LINUX
def test_what_is_held_is_anonymous_memory(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(64 << 20)
    before = held()
    assert before is not None
    mapped = np.memmap(tmp_path / "x", np.uint8, "r")
    assert mapped.sum() == 0
    # Asked of the system itself: an allocator may give memory that it held already.
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as ours:
        for page in range(0, 64 << 20, 4096):
            ours[page] = 1
        after = held()
    assert after is not None
    assert 60 << 20 < after - before < 100 << 20


def test_a_limit_with_no_room_says_how_much_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "held", lambda: 100 << 20)
    with pytest.raises(UsageError, match=r"120 MB, but 100 MB are held .* give 165 MB or more"):
        MemoryLimit(120 << 20)
    limit = MemoryLimit(200 << 20)
    assert limit.left == 100 << 20
    limit.check()
    monkeypatch.setattr(memory, "held", lambda: 201 << 20)
    with pytest.raises(MemoryLimitError, match=r"201 MB of memory are held, over the limit of 200"):
        limit.check()
    monkeypatch.setattr(memory, "held", lambda: None)
    limit.check()


def test_a_build_over_its_limit_stops_and_goes_on_with_a_higher_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0, 0] + [0] * 3 + [10**12] * 100)
    monkeypatch.setattr(memory, "held", lambda: next(values))
    documents = [document(number) for number in range(30)]
    small_shards(monkeypatch, 10)
    options = BuildOptions(memory=1 << 30, weights="float32")
    with pytest.raises(MemoryLimitError, match="what was finished is kept"):
        build_index(Memory(documents), tmp_path / "idx", options, encoders=ENCODERS)
    assert not (tmp_path / "idx").exists()
    assert list((tmp_path / "idx.building" / "workspace").glob("000000.*"))
    monkeypatch.undo()
    build_index(Memory(documents), tmp_path / "idx", encoders=ENCODERS)
    assert len(Index(tmp_path / "idx", encoders=ENCODERS)) == 30


def test_a_limit_changes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PIECES", 1 << 60)
    documents = [document(number) for number in range(100)]
    limit = (held() or 0) + (1 << 30)
    for name, bytes_ in (("free", None), ("bound", limit)):
        options = BuildOptions(weights="float32", memory=bytes_)
        build_index(Memory(documents), tmp_path / name, options, encoders=ENCODERS)
    free, bound = (Index(tmp_path / name, encoders=ENCODERS) for name in ("free", "bound"))
    assert_same(bound, free)


CHANGES: dict[str, Callable[[Index, int | None], object]] = {
    "add": lambda index, limit: index.add([document(31)], memory=limit),
    "update": lambda index, limit: index.update(map(document, (3, 32)), memory=limit),
    "compact": lambda index, limit: index.compact(memory=limit),
    "rebuild": lambda index, limit: rebuild_branches(
        index.directory, index.branches, RebuildOptions(memory=limit), encoders=ENCODERS
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_limit_changes_no_result_of_a_change(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a piece is one row, or one character of text."""
    monkeypatch.setattr(memory, "PIECES", 1 << 60)
    for name, limit in (("free", None), ("bound", (held() or 0) + (1 << 30))):
        index = build(tmp_path / name, map(document, range(20)), bm25=True)
        index.add(map(document, range(20, 26)))
        index.delete(["d0004"])
        CHANGES[change](index, limit)
    free, bound = (Index(tmp_path / name, encoders=ENCODERS) for name in ("free", "bound"))
    assert_same(bound, free, branches=free.branches)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_over_its_limit_changes_nothing(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build(tmp_path / "idx", map(document, range(20)), bm25=True)
    index.add(map(document, range(20, 26)))
    generation = index.contents.generation.name
    calls = iter([0, 0])
    monkeypatch.setattr(memory, "held", lambda: next(calls, 10**12))
    with pytest.raises(MemoryLimitError, match="over the limit of 1024 MB"):
        CHANGES[change](index, 1 << 30)
    monkeypatch.undo()
    index.reopen()
    assert index.contents.generation.name == generation
    CHANGES[change](index, None)
    index.reopen()
    assert index.contents.generation.name != generation


def test_an_addition_over_its_limit_goes_on_with_a_higher_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build(tmp_path / "idx", map(document, range(3)))
    calls = iter([0, 0] + [0] * 3)
    monkeypatch.setattr(memory, "held", lambda: next(calls, 10**12))
    small_shards(monkeypatch, 10)
    new = [document(number) for number in range(3, 30)]
    with pytest.raises(MemoryLimitError, match="what was finished is kept"):
        index.add(new, memory=1 << 30)
    kept = tmp_path / "idx" / "workspace" / "000000.dense"
    stamp = kept.stat().st_mtime_ns
    monkeypatch.setattr(memory, "held", lambda: 0)
    stamps = []
    monkeypatch.setattr(
        "hybrid.build.update.Change.append",
        lambda *args, **named: stamps.append(kept.stat().st_mtime_ns),
    )
    index.add(new, memory=1 << 30)
    assert stamps == [stamp]


def test_the_characters_of_a_piece_do_not_follow_what_is_left_to_the_byte() -> None:
    for piece in range(4 << 20, 8 << 20, 99_991):
        assert Allowance(piece=piece).characters(1 << 26) == 1 << 20
    assert Allowance(piece=1 << 40).characters(1 << 26) == 1 << 26
    assert Allowance().characters(1 << 26) == 1 << 26


def test_a_graph_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.index.segment_writer.VECTOR_BYTES", 1 << 40)
    options = BuildOptions(memory=(held() or 0) + (1 << 30), vectors="hnsw")
    with pytest.raises(MemoryLimitError, match=r"hnsw of branch 'dense' needs .* with flat"):
        build_index(Memory([document(1)]), tmp_path / "idx", options, encoders=ENCODERS)
    assert not (tmp_path / "idx").exists()


@pytest.mark.parametrize("characters", [1, 64, 1 << 30])
def test_shards_are_cut_by_their_text_too(tmp_path: Path, characters: int) -> None:
    documents = [document(number) for number in range(20)]
    shards = encode_corpus(
        documents,
        tmp_path,
        {"dense": ENCODERS["dense"]},
        EncodeOptions(allowance=Allowance(piece=memory.COPIES * characters)),
    )
    expected, held_ = [0], 0
    for each in documents:
        if held_ >= characters:
            expected.append(0)
            held_ = 0
        expected[-1] += 1
        held_ += len(each.full_text)
    assert list(shards.counts) == expected
    shards = Shards(tmp_path, Allowance(piece=1))
    order = shards.order()
    assert list(shards.ordered_documents(order)) == [documents[at] for at in order]


SCRIPT = """
import ctypes, json, sys, threading, time
from pathlib import Path
import numpy as np, scipy.sparse
import faiss, pyarrow, numba
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document
from hybrid.corpus.records import Skipped
from hybrid.machine.memory import held
from hybrid.search.index import Index
import hybrid.index.sparse.inverted

class Lengths:
    fingerprint = {"model": "lengths"}
    def __init__(self, dimension=16):
        self.dimension = dimension
    def encode_documents(self, texts, progress=None):
        if progress is not None:
            progress(len(texts))
        return np.tile(np.arange(1, 1 + self.dimension, dtype=np.float32), (len(texts), 1))
    encode_queries = encode_documents

class Source:
    name, skipped = "made", Skipped()
    def __init__(self, count, word):
        self.count, self.word = count, word
    def documents(self):
        for number in range(self.count):
            yield Document(f"d{number * 7919 % 4000:05}", f"{number} " + self.word * 4000)
    def document_count(self):
        return self.count

what, folder, extra = sys.argv[1], sys.argv[2], int(sys.argv[3])
encoders = {"dense": Lengths(16384 if what == "compact" else 16)}
if what != "build":
    count = 2500 if what == "compact" else 2
    build_index(Source(count, ""), folder, encoders=encoders)
    index = Index(folder, encoders=encoders)
    index.delete(["d00000"])
ctypes.CDLL(None).malloc_trim(0)

def work(memory):
    if what == "build":
        build_index(Source(4000, "word "), folder, BuildOptions(memory=memory), encoders=encoders)
    elif what == "add":
        index.update(Source(4000, "word ").documents(), memory=memory)
    else:
        index.compact(memory=memory)

before, peak, done = held(), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, held())
        time.sleep(0.002)
thread = threading.Thread(target=watch)
thread.start()
try:
    work(before + extra if extra else None)
finally:
    done = True
    thread.join()
print(json.dumps([before, peak]))
"""


@LINUX
@pytest.mark.parametrize("what", ["build", "add", "compact"])
def test_the_peak_stays_under_the_limit(what: str, tmp_path: Path) -> None:
    peaks, limit = {}, (128 if what == "build" else 104) << 20
    for extra in (0, limit):
        script = [sys.executable, "-c", textwrap.dedent(SCRIPT), what, str(tmp_path / str(extra))]
        ran = subprocess.run([*script, str(extra)], capture_output=True, text=True, check=True)
        before, peak = json.loads(ran.stdout.splitlines()[-1])
        peaks[extra] = peak - before
    # The corpus is 80 MB of text, or 164 MB of vectors, read back in an order of its own.
    assert peaks[0] > limit > peaks[limit], peaks
