"""Kept encodings: what was encoded once is not encoded again, and the bytes are the same."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.build import records
from hybrid.build.create import BuildOptions, build_index
from hybrid.build.encode import EncodeOptions, Encoder, encode_corpus
from hybrid.build.rebuild import rebuild_branches
from hybrid.build.records import Deferred, deferred_encoder, loaded
from hybrid.build.shards import Shards
from hybrid.corpus import Document, open_source
from hybrid.encoders import Bm25Parameters
from hybrid.encoders.protocol import Fingerprint
from hybrid.errors import ModelError, ModelMismatchError
from hybrid.machine.cache import Cache, text_digest
from hybrid.search.index import open_index
from tests.conftest import DOCUMENTS, write_beir
from tests.made_encoders import HashDense, HashSparse


class Dense(HashDense):
    """Counts what it encodes; its rows differ a little with the size of their batch."""

    def __init__(self, weights: str | None = "w", model: str = "made") -> None:
        super().__init__()
        self.fingerprint: Fingerprint = {"model": model, "weights": weights, "similarity": "cosine"}
        self.texts: list[str] = []

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        self.texts += texts
        rows = super().encode_documents(texts, progress)
        noise = np.arange(len(texts))[:, None] + len(texts)
        return (rows * (1 + 1e-6 * noise)).astype(np.float32)


class Sparse(HashSparse):
    """Counts what it encodes; its rows differ a little with the size of their batch."""

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = {"model": "made", "weights": "s"}
        self.texts: list[str] = []

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> csr_matrix:
        self.texts += texts
        rows = super().encode_documents(texts, progress)
        return (rows * np.float32(1 + 1e-6 * len(texts))).tocsr()


TEXTS = ["a b c", "d", "", "a b c", "e f", "d", "g", "a b c", "h i j k"]
"""Some occur again in a shard of four, some in another shard, one is empty."""


def corpus(texts: Iterable[str] = TEXTS) -> list[Document]:
    return [Document(f"d{number}", text) for number, text in enumerate(texts)]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "cache.json"
    }


class Encoding:
    """Encodes into a new folder each time, and tells what the encoders saw and what was written."""

    def __init__(self, folder: Path) -> None:
        self.cache = Cache(folder / "cache")
        self._folder = folder
        self._count = 0

    def __call__(
        self,
        documents: Iterable[Document],
        *,
        cache: Cache | None = None,
        encoders: dict[str, Encoder] | None = None,
    ) -> tuple[list[str], list[str], Shards]:
        self._count += 1
        sparse, dense = Sparse(), Dense()
        given = encoders or {"bm25": Bm25Parameters(), "sparse": sparse, "dense": dense}
        folder = self._folder / str(self._count)
        shards = encode_corpus(documents, folder, given, EncodeOptions(shard_size=4, cache=cache))
        return sparse.texts, dense.texts, shards


@pytest.fixture
def encoding(tmp_path: Path) -> Encoding:
    return Encoding(tmp_path)


def test_texts_are_encoded_once_and_the_bytes_are_those_without_a_cache(encoding: Encoding) -> None:
    *_, plain = encoding(corpus())
    sparse, dense, first = encoding(corpus(), cache=encoding.cache)
    assert sparse == dense == TEXTS
    assert first.reused == 0
    assert contents(first.directory) == contents(plain.directory)
    sparse, dense, second = encoding(corpus(), cache=encoding.cache)
    assert sparse == dense == []
    assert second.reused == 2 * len(TEXTS)
    assert contents(second.directory) == contents(plain.directory)


def test_ids_and_fields_cost_no_encoding(encoding: Encoding) -> None:
    *_, first = encoding(corpus(), cache=encoding.cache)
    changed = [replace(each, doc_id=f"x{each.doc_id}", fields={"year": 1}) for each in corpus()]
    sparse, dense, second = encoding(changed, cache=encoding.cache)
    assert sparse == dense == []
    np.testing.assert_array_equal(first.dense("dense", 1), second.dense("dense", 1))


def test_only_new_texts_are_encoded_wherever_the_others_stand(encoding: Encoding) -> None:
    encoding(corpus(), cache=encoding.cache)
    changed = ["new", *reversed(TEXTS), "newer"]
    sparse, dense, kept = encoding(corpus(changed), cache=encoding.cache)
    assert sparse == dense == ["new", "newer"]
    *_, plain = encoding(corpus(changed))
    for shard in range(3):
        np.testing.assert_allclose(
            kept.dense("dense", shard), plain.dense("dense", shard), rtol=1e-4
        )
        ours, theirs = kept.sparse("sparse", shard), plain.sparse("sparse", shard)
        assert (ours.indices == theirs.indices).all()
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-4)
    assert encoding(corpus(changed), cache=encoding.cache)[:2] == ([], [])


def test_a_title_that_changes_is_the_only_text_encoded(encoding: Encoding) -> None:
    documents = [replace(each, title="t") for each in corpus()]
    encoding(documents, cache=encoding.cache)
    documents[4] = replace(documents[4], title="other")
    sparse, dense, _ = encoding(documents, cache=encoding.cache)
    assert sparse == dense == [documents[4].full_text]


def test_an_interrupted_encoding_goes_on_with_the_same_bytes(
    encoding: Encoding, tmp_path: Path
) -> None:
    *_, plain = encoding(corpus())

    class Stopped(Dense):
        def encode_documents(
            self, texts: Sequence[str], progress: Callable[[int], None] | None = None
        ) -> NDArray[np.float32]:
            if self.texts:
                raise KeyboardInterrupt
            return super().encode_documents(texts, progress)

    work = tmp_path / "work"
    for dense in (Stopped(), Dense()):
        encoders = {"bm25": Bm25Parameters(), "sparse": Sparse(), "dense": dense}
        try:
            encode_corpus(
                corpus(), work, encoders, EncodeOptions(shard_size=4, cache=encoding.cache)
            )
        except KeyboardInterrupt:
            assert isinstance(dense, Stopped)
    assert contents(work) == contents(plain.directory)


def test_one_branch_may_know_more_than_the_other(encoding: Encoding) -> None:
    encoding(corpus(), cache=encoding.cache, encoders={"dense": Dense()})
    sparse, dense, kept = encoding(corpus(), cache=encoding.cache)
    assert (sparse, dense) == (TEXTS, [])
    *_, plain = encoding(corpus())
    assert contents(kept.directory) == contents(plain.directory)


def test_the_weights_decide_not_where_they_came_from(encoding: Encoding) -> None:
    encoding(corpus(), cache=encoding.cache, encoders={"dense": Dense()})
    moved, other, unknown = Dense(model="elsewhere"), Dense(weights="v"), Dense(weights=None)
    encoding(corpus(), cache=encoding.cache, encoders={"dense": moved})
    assert moved.texts == []
    encoding(corpus(), cache=encoding.cache, encoders={"dense": other})
    assert other.texts == TEXTS
    for _ in range(2):
        unknown.texts.clear()
        encoding(corpus(), cache=encoding.cache, encoders={"dense": unknown})
        assert unknown.texts == TEXTS


def test_a_forgotten_text_is_encoded_again(encoding: Encoding) -> None:
    encoding(corpus(), cache=encoding.cache)
    assert encoding.cache.forget([text_digest("e f")]) == 2
    sparse, dense, _ = encoding(corpus(), cache=encoding.cache)
    assert sparse == dense == ["e f"]


def test_a_cache_that_cannot_be_used_costs_a_warning_and_no_build(
    encoding: Encoding, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    *_, plain = encoding(corpus())
    with pytest.warns(RuntimeWarning, match="goes on without it"):
        sparse, _, shards = encoding(corpus(), cache=Cache(tmp_path / "file"))
    assert sparse == TEXTS
    assert contents(shards.directory) == contents(plain.directory)


def test_progress_reaches_every_document_though_none_is_encoded(
    encoding: Encoding, tmp_path: Path
) -> None:
    for name in "ab":
        seen: list[int] = []
        encoders: dict[str, Encoder] = {"sparse": Sparse(), "dense": Dense()}
        encode_corpus(
            corpus(),
            tmp_path / name,
            encoders,
            EncodeOptions(cache=encoding.cache),
            progress=seen.append,
        )
        assert sum(seen) == len(TEXTS)


def test_builds_additions_and_rebuilds_share_what_they_encode(
    tiny_dense: Path, tiny_sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    source = open_source(write_beir(tmp_path / "beir"))
    options = BuildOptions(sparse=str(tiny_sparse), dense=str(tiny_dense))
    build_index(source, tmp_path / "plain", replace(options, cache=False))
    assert not (tmp_path / "cache").exists()
    assert build_index(source, tmp_path / "first", options).reused == 0
    second = build_index(source, tmp_path / "second", options)
    assert second.reused == 2 * len(DOCUMENTS)
    assert "  from the cache: 20 rows, not encoded again" in second.lines()
    plain = contents(tmp_path / "plain" / "generations")
    assert len(plain) > 10
    for name in ("first", "second"):
        built = contents(tmp_path / name / "generations")
        assert {Path(path).name for path in plain} == {Path(path).name for path in built}
        for path, other in zip(plain, built, strict=True):
            if Path(path).name != "manifest.json":  # which has the time
                assert plain[path] == built[other], path

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a text was encoded again")

    monkeypatch.setattr("hybrid.encoders.dense.TransformerEncoder.encode_documents", refuse)
    monkeypatch.setattr("hybrid.encoders.splade.SpladeEncoder.encode_documents", refuse)
    rebuild_branches(tmp_path / "second", ["dense", "sparse"])
    documents = [replace(each, fields={"year": 1}) for each in source.documents()]
    with open_index(tmp_path / "first") as index:
        index.update(documents)
        with pytest.raises(AssertionError, match="encoded again"):
            index.update(documents, cache=False)
    with pytest.raises(AssertionError, match="encoded again"):
        build_index(source, tmp_path / "third", replace(options, cache=tmp_path / "empty"))


def test_a_build_whose_rows_are_all_kept_loads_no_model(
    tiny_dense: Path, tiny_sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(write_beir(tmp_path / "beir"))
    options = BuildOptions(
        sparse=str(tiny_sparse), dense=str(tiny_dense), max_length=8, cache=tmp_path / "cache"
    )
    first = build_index(source, tmp_path / "first", options)
    assert first.alarms

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    for module in ("by_name", "loading"):
        monkeypatch.setattr(f"hybrid.encoders.models.{module}.load_module", refuse)
    changed = [replace(each, fields={"year": 1}) for each in source.documents()]
    second = build_index(changed, tmp_path / "second", options)
    assert second.reused == 2 * len(DOCUMENTS)
    assert second.alarms == first.alarms
    assert second.branches == first.branches
    for other in (
        replace(options, max_length=9),  # another fingerprint
        replace(options, cache=tmp_path / "empty"),
        replace(options, memory=1 << 40),  # what a model needs must be known
    ):
        with pytest.raises(AssertionError, match="a model was loaded"):
            build_index(changed, tmp_path / "third", other)
    with pytest.raises(AssertionError, match="a model was loaded"):
        build_index([*changed, Document("new", "a new text")], tmp_path / "third", options)
    assert not (tmp_path / "third").exists()


def test_a_model_whose_settings_changed_is_loaded_again(
    tiny_dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_dense, model)
    options = BuildOptions(sparse=None, dense=str(model), bm25=False, cache=tmp_path / "cache")
    texts = ["a b c", "d e"]
    build_index(texts, tmp_path / "first", options)
    settings = model / "config_sentence_transformers.json"
    known = json.loads(settings.read_text())
    settings.write_text(json.dumps({**known, "similarity_fn_name": "dot"}))
    second = build_index(texts, tmp_path / "second", options)
    assert second.reused == 0
    assert second.branches["dense"].fingerprint["similarity"] == "dot"


def test_a_deferred_model_whose_files_change_before_it_is_loaded_is_refused(
    tiny_dense: Path, tmp_path: Path
) -> None:
    cache, record = Cache(tmp_path / "cache"), {"model": str(tiny_dense)}
    deferred_encoder("dense", record, cache)
    found = deferred_encoder("dense", record, cache)
    assert isinstance(found, Deferred)
    assert found.width == found.loaded.dimension
    changed = replace(found, fingerprint={**found.fingerprint, "weights": "other"})
    with pytest.raises(ModelMismatchError, match="weights"):
        loaded(changed)
    assert not isinstance(deferred_encoder("dense", record, cache), Deferred)
    assert isinstance(deferred_encoder("dense", record, cache), Deferred)


def test_a_fingerprint_of_another_version_is_made_again(
    tiny_dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, record = Cache(tmp_path / "cache"), {"model": str(tiny_dense)}
    deferred_encoder("dense", record, cache)
    monkeypatch.setattr(records, "__version__", "0.0.1")
    assert not isinstance(deferred_encoder("dense", record, cache), Deferred)


def test_without_sentence_transformers_the_load_says_so(
    tiny_dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(records, "version", absent)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ModelError, match=r"cannot be loaded as a Sentence.*sentence_transformers"):
        deferred_encoder("dense", {"model": str(tiny_dense)}, Cache(tmp_path))
