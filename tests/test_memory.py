"""A memory limit: how it is said, that a build keeps it, and what happens where it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from hybrid import memory
from hybrid.build import BuildOptions, build_index
from hybrid.encoders import encode_corpus
from hybrid.errors import MemoryLimitError, UsageError
from hybrid.memory import MemoryLimit, held, parse_size
from hybrid.retrieve import Index
from tests.test_living import ENCODERS, Memory, assert_same, document

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
    np.zeros(64 << 20, dtype=np.uint8).tofile(tmp_path / "x")
    before = held()
    assert before is not None
    mapped = np.memmap(tmp_path / "x", np.uint8, "r")
    assert mapped.sum() == 0
    ours = np.ones(64 << 20, dtype=np.uint8)
    after = held()
    assert after is not None
    assert 60 << 20 < after - before < 80 << 20
    assert ours[-1] == 1


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
    monkeypatch.setitem(encode_corpus.__kwdefaults__, "shard_size", 10)
    options = BuildOptions(memory=1 << 30, weights="float32")
    with pytest.raises(MemoryLimitError, match="what was finished is kept"):
        build_index(Memory(documents), tmp_path / "idx", options, encoders=ENCODERS)
    assert not (tmp_path / "idx").exists()
    assert list((tmp_path / "idx.building" / "workspace").glob("000000.*"))
    monkeypatch.undo()
    build_index(Memory(documents), tmp_path / "idx", encoders=ENCODERS)
    assert len(Index(tmp_path / "idx", encoders=ENCODERS)) == 30


def test_a_limit_changes_no_result(tmp_path: Path) -> None:
    documents = [document(number) for number in range(300)]
    limit = (held() or 0) + (65 << 20)
    for name, bytes_ in (("free", None), ("bound", limit)):
        options = BuildOptions(weights="float32", memory=bytes_)
        build_index(Memory(documents), tmp_path / name, options, encoders=ENCODERS)
    free, bound = (Index(tmp_path / name, encoders=ENCODERS) for name in ("free", "bound"))
    assert_same(bound, free)


def test_a_graph_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.build.VECTOR_BYTES", 1 << 40)
    options = BuildOptions(memory=(held() or 0) + (1 << 30), vectors="hnsw")
    with pytest.raises(MemoryLimitError, match=r"hnsw of branch 'dense' needs .* choose flat"):
        build_index(Memory([document(1)]), tmp_path / "idx", options, encoders=ENCODERS)
    assert not (tmp_path / "idx").exists()


@pytest.mark.parametrize("characters", [1, 50, 10**9])
def test_shards_are_cut_by_their_text_too(tmp_path: Path, characters: int) -> None:
    documents = [document(number) for number in range(20)]
    shards = encode_corpus(
        documents, tmp_path, {"dense": ENCODERS["dense"]}, shard_characters=characters
    )
    expected, held_ = [0], 0
    for each in documents:
        if held_ >= characters:
            expected.append(0)
            held_ = 0
        expected[-1] += 1
        held_ += len(each.full_text)
    assert list(shards.counts) == expected
    shards.piece_bytes = 1
    order = shards.order()
    assert list(shards.ordered_documents(order)) == [documents[at] for at in order]


SCRIPT = """
import json, sys, threading, time
from pathlib import Path
import numpy as np, scipy.sparse
import faiss, pyarrow, numba
from hybrid.build import BuildOptions, build_index
from hybrid.corpus import Document
from hybrid.corpus.records import Skipped
from hybrid.memory import held
import hybrid.indexes.inverted

class Lengths:
    dimension = 16
    fingerprint = {"model": "lengths"}
    def encode_documents(self, texts, progress=None):
        progress(len(texts))
        return np.tile(np.arange(1, 17, dtype=np.float32), (len(texts), 1))
    encode_queries = encode_documents

class Source:
    name, skipped = "made", Skipped()
    def documents(self):
        for number in range(4000):
            yield Document(f"d{number * 7919 % 4000:05}", f"{number} " + "word " * 4000)
    def document_count(self):
        return 4000

before, peak, done = held(), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, held())
        time.sleep(0.002)
extra = int(sys.argv[2])
options = BuildOptions(memory=before + extra if extra else None)
thread = threading.Thread(target=watch)
thread.start()
try:
    build_index(Source(), sys.argv[1], options, encoders={"dense": Lengths()})
finally:
    done = True
    thread.join()
print(json.dumps([before, peak]))
"""


@LINUX
def test_the_peak_of_a_build_stays_under_the_limit(tmp_path: Path) -> None:
    peaks = {}
    for extra in (0, 128 << 20):
        script = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / str(extra))]
        ran = subprocess.run([*script, str(extra)], capture_output=True, text=True, check=True)
        before, peak = json.loads(ran.stdout.splitlines()[-1])
        peaks[extra] = peak - before
    # The corpus is 80 MB of text, read back in an order of its own.
    assert peaks[0] > 128 << 20 > peaks[128 << 20], peaks
