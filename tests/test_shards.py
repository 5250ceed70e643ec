"""Resumable encoding: the same bytes however often it is interrupted."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hybrid.build.encode import EncodeOptions, Encoder, encode_corpus
from hybrid.build.shards import Shards
from hybrid.corpus import Document
from hybrid.encoders import Bm25Parameters
from hybrid.encoders.protocol import Fingerprint, Progress
from hybrid.errors import ClusterError, CorpusError, UsageError

WIDTH = 8


class HashedDense:
    """Vectors from a digest of the text; stops after ``limit`` calls."""

    dimension = WIDTH

    def __init__(self, seed: int = 0, limit: int = 1_000_000, death: str = "exception") -> None:
        self.fingerprint: Fingerprint = {"kind": "dense", "model": "hashed", "seed": seed}
        self.calls: list[int] = []
        self._limit = limit
        self._death = death

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        if len(self.calls) == self._limit:
            if self._death == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        self.calls.append(len(texts))
        if progress is not None:
            progress(len(texts))
        return self.encode_queries(texts)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        seed = str(self.fingerprint["seed"])
        digests = [hashlib.sha256((seed + text).encode()).digest()[:WIDTH] for text in texts]
        rows = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(texts), WIDTH)
        return rows.astype(np.float32)


class HashedSparse(HashedDense):
    """The same numbers as a sparse encoder; a zero is no entry."""

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = {"kind": "sparse", "model": "hashed", "seed": 1}
        self.vocabulary = tuple("abcdefgh")

    def encode_documents(  # type: ignore[override]
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> csr_matrix:
        return csr_matrix(super().encode_documents(texts, progress))

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:  # type: ignore[override]
        return csr_matrix(super().encode_queries(texts))


class HashedSparseEncoder:
    """A sparse encoder without a ``dimension``, so that the kinds cannot be confused."""

    def __init__(self) -> None:
        self._inner = HashedSparse()
        self.fingerprint = self._inner.fingerprint
        self.vocabulary = self._inner.vocabulary
        self.encode_documents = self._inner.encode_documents
        self.encode_queries = self._inner.encode_queries


def corpus(count: int = 10) -> Iterator[Document]:
    for number in range(count):
        yield Document(f"d{number}", f"text {number} of sorted lists", title=f"title {number % 3}")


def encoders(dense: HashedDense | None = None) -> dict[str, Encoder]:
    return {
        "bm25": Bm25Parameters(),
        "sparse": HashedSparseEncoder(),
        "dense": dense if dense is not None else HashedDense(),
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def uninterrupted(tmp_path: Path) -> dict[str, bytes]:
    encode_corpus(corpus(), tmp_path / "once", encoders(), EncodeOptions(shard_size=3))
    return contents(tmp_path / "once")


def test_an_interrupted_encoding_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(corpus(), work, encoders(HashedDense(limit=2)), EncodeOptions(shard_size=3))
    with pytest.raises(UsageError, match="no finished encoding"):
        Shards(work)
    again = HashedDense()
    encode_corpus(corpus(), work, encoders(again), EncodeOptions(shard_size=3))
    assert again.calls == [3, 1]
    assert contents(work) == uninterrupted


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_shards import HashedDense, corpus, encoders
from hybrid.build.encode import EncodeOptions, encode_corpus
dense = HashedDense(limit=2, death="kill")
encode_corpus(corpus(), Path(sys.argv[1]), encoders(dense), EncodeOptions(shard_size=3))
"""


def test_a_killed_encoding_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    work = tmp_path / "work"
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(tests.parent)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(work), str(tests)], env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    (work / ".000002.dense.half").mkdir()
    (work / ".000002.dense.half" / "vectors.npy").write_bytes(b"half")
    again = HashedDense()
    (work / ".not.ours").mkdir()
    encode_corpus(corpus(), work, encoders(again), EncodeOptions(shard_size=3))
    assert (work / ".not.ours").is_dir()
    assert again.calls == [3, 1]
    assert contents(work) == uninterrupted


def test_a_finished_encoding_is_kept_whole(tmp_path: Path) -> None:
    encode_corpus(corpus(), tmp_path, encoders(), EncodeOptions(shard_size=3))
    before = contents(tmp_path)
    again = HashedDense()
    encode_corpus(corpus(), tmp_path, encoders(again), EncodeOptions(shard_size=3))
    assert again.calls == []
    assert contents(tmp_path) == before


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "record"])
def test_a_damaged_part_is_encoded_again(tmp_path: Path, damage: str) -> None:
    encode_corpus(corpus(), tmp_path, encoders(), EncodeOptions(shard_size=3))
    before = contents(tmp_path)
    path = tmp_path / "000001.dense" / "vectors.npy"
    held = path.read_bytes()
    if damage == "flip":
        path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    elif damage == "cut":
        path.write_bytes(held[:-1])
    elif damage == "remove":
        path.unlink()
    else:
        (path.parent / "record.json").write_text("[]")
    again = HashedDense()
    encode_corpus(corpus(), tmp_path, encoders(again), EncodeOptions(shard_size=3))
    assert again.calls == [3]
    assert contents(tmp_path) == before


def test_only_what_changed_is_encoded_again(tmp_path: Path) -> None:
    encode_corpus(corpus(), tmp_path, encoders(), EncodeOptions(shard_size=3))
    sparse = (tmp_path / "000000.sparse" / "data.npy").stat().st_mtime_ns
    other = HashedDense(seed=7)
    encode_corpus(corpus(), tmp_path, encoders(other), EncodeOptions(shard_size=3))
    assert other.calls == [3, 3, 3, 1]
    assert (tmp_path / "000000.sparse" / "data.npy").stat().st_mtime_ns == sparse

    changed = [*corpus()]
    changed[4] = Document("d4", "another text")
    last = HashedDense(seed=7)
    encode_corpus(changed, tmp_path, encoders(last), EncodeOptions(shard_size=3))
    assert last.calls == [3]


def test_other_ids_and_fields_are_stored_without_encoding_again(tmp_path: Path) -> None:
    encode_corpus(corpus(), tmp_path, encoders(), EncodeOptions(shard_size=3))
    renamed = [
        Document(f"new-{document.doc_id}", document.text, document.title, {"year": 2020})
        for document in corpus()
    ]
    again = HashedDense()
    shards = encode_corpus(renamed, tmp_path, encoders(again), EncodeOptions(shard_size=3))
    assert again.calls == []
    assert [*shards.ordered_documents(np.arange(10))] == renamed


def test_a_shorter_corpus_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    encode_corpus(corpus(), tmp_path / "a", encoders(), EncodeOptions(shard_size=3))
    encode_corpus(corpus(4), tmp_path / "a", encoders(), EncodeOptions(shard_size=3))
    encode_corpus(corpus(4), tmp_path / "b", encoders(), EncodeOptions(shard_size=3))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_no_more_than_a_shard_is_read_ahead(tmp_path: Path) -> None:
    dense = HashedDense()
    ahead = []

    def watched() -> Iterator[Document]:
        for number, document in enumerate(corpus()):
            ahead.append(number - sum(dense.calls))
            yield document

    encode_corpus(watched(), tmp_path, {"dense": dense}, EncodeOptions(shard_size=3))
    assert max(ahead) < 3


@pytest.mark.parametrize("size", [1, 4, 100])
def test_rows_come_in_descending_order_of_id(tmp_path: Path, size: int) -> None:
    shards = encode_corpus(corpus(12), tmp_path, encoders(), EncodeOptions(shard_size=5))
    order = shards.order()
    documents = [*shards.ordered_documents(order, size)]
    ids = sorted((document.doc_id for document in corpus(12)), reverse=True)
    assert [document.doc_id for document in documents] == ids
    assert set(documents) == set(corpus(12))

    texts = [document.full_text for document in documents]
    vectors = np.vstack([*shards.ordered_dense("dense", order, size)])
    np.testing.assert_array_equal(vectors, HashedDense().encode_queries(texts))
    rows = vstack([*shards.ordered_sparse("sparse", order, size)])
    np.testing.assert_array_equal(rows.toarray(), HashedSparse().encode_queries(texts).toarray())
    impacts = vstack([*shards.ordered_sparse("bm25", order, size)])
    expected = shards.bm25("bm25").encode_documents(texts)
    np.testing.assert_array_equal(impacts.toarray(), expected.toarray())


def test_bm25_is_fitted_to_the_whole_corpus(tmp_path: Path) -> None:
    shards = encode_corpus(
        corpus(), tmp_path, {"bm25": Bm25Parameters()}, EncodeOptions(shard_size=3)
    )
    fitted = shards.bm25("bm25")
    assert fitted.document_count == 10
    assert fitted.frequencies[fitted.vocabulary.index("list")] == 10
    assert shards.branches["bm25"].fingerprint == fitted.fingerprint


def test_branches_keep_their_order_and_say_what_they_are(tmp_path: Path) -> None:
    shards = encode_corpus(corpus(), tmp_path, encoders(), EncodeOptions(shard_size=3))
    assert [*shards.branches] == ["bm25", "sparse", "dense"]
    assert [branch.kind for branch in shards.branches.values()] == ["sparse", "sparse", "dense"]
    assert shards.branches["dense"].width == WIDTH
    assert shards.counts == (3, 3, 3, 1)
    assert shards.document_count == 10
    with pytest.raises(UsageError, match="bm25 \\(sparse\\)"):
        shards.dense("sparse", 0)


class Dropping:
    """An executor that runs shards before ``end`` alone, but for one."""

    def __init__(self, dropped: int, end: int) -> None:
        self.dropped, self.end = dropped, end

    def run(self, function: Any, tasks: Iterator[Any]) -> Iterator[Any]:
        for task in itertools.islice(tasks, self.end):
            if task.shard != self.dropped:
                yield task, function(task)


@pytest.mark.parametrize(("dropped", "end", "missing"), [(1, 9, "1"), (9, 1, "1"), (0, 2, "0, 2")])
def test_shards_that_an_executor_does_not_return_are_named(
    tmp_path: Path, dropped: int, end: int, missing: str
) -> None:
    corpus = [Document(f"d{number}", f"word{number}") for number in range(6)]
    branches = {"bm25": Bm25Parameters()}
    options = EncodeOptions(shard_size=2, executor=Dropping(dropped, end))
    with pytest.raises(ClusterError, match=f"no rows of the shards {missing};"):
        encode_corpus(corpus, tmp_path, branches, options)
    options = EncodeOptions(shard_size=2, executor=Dropping(9, 9))
    assert encode_corpus(corpus, tmp_path, branches, options).document_count == 6


@pytest.mark.parametrize("count", [1, 3, 4, 10])
def test_progress_sums_to_the_documents(tmp_path: Path, count: int) -> None:
    for _ in range(2):
        seen: list[int] = []
        encode_corpus(
            corpus(count), tmp_path, encoders(), EncodeOptions(shard_size=3), progress=seen.append
        )
        assert sum(seen) == count
        assert min(seen) > 0


def test_a_document_with_a_title_alone_and_one_without_terms(tmp_path: Path) -> None:
    documents = [Document("a", "", title="heap"), Document("b", "...")]
    shards = encode_corpus(documents, tmp_path, encoders())
    assert np.diff(shards.sparse("bm25", 0).indptr).tolist() == [1, 0]
    assert shards.documents(0) == documents


def test_duplicate_ids_are_found(tmp_path: Path) -> None:
    documents = [*corpus(), Document("d3", "again")]
    shards = encode_corpus(
        documents, tmp_path, {"bm25": Bm25Parameters()}, EncodeOptions(shard_size=3)
    )
    with pytest.raises(CorpusError, match="'d3' occurs twice, at documents 4 and 11"):
        shards.order()


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no documents"):
        encode_corpus([], tmp_path, encoders())
    with pytest.raises(CorpusError, match="not Unicode"):
        encode_corpus([Document("a", "\ud800")], tmp_path, encoders())
    with pytest.raises(UsageError, match="no encoders"):
        encode_corpus(corpus(), tmp_path, {})
    with pytest.raises(UsageError, match="shard_size"):
        encode_corpus(corpus(), tmp_path, encoders(), EncodeOptions(shard_size=0))
    for name in ("documents", "../up", "a.b"):
        with pytest.raises(UsageError, match="branch name"):
            encode_corpus(corpus(), tmp_path, {name: Bm25Parameters()})


def test_a_full_disk_leaves_no_half_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hybrid.build.parts.save_vectors", full)
    with pytest.raises(OSError, match="No space left"):
        encode_corpus(corpus(), tmp_path, encoders(), EncodeOptions(shard_size=3))
    assert not [path for path in tmp_path.rglob("*") if "dense" in path.name]
    monkeypatch.undo()
    encode_corpus(corpus(), tmp_path, encoders(), EncodeOptions(shard_size=3))
