from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document, open_source
from hybrid.errors import CorpusError, HybridError, ModelError, OutputExistsError, UsageError
from tests.conftest import DOCUMENTS, write_beir

BM25_ONLY = BuildOptions(sparse=None, dense=None)


def built(folder: Path, options: BuildOptions = BM25_ONLY) -> Path:
    build_index(open_source(folder), folder.parent / "index", options)
    return folder.parent / "index"


def test_one_id_space_in_descending_order(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        assert list(index.contents.doc_ids) == sorted(DOCUMENTS, reverse=True)
        assert index.branches == ("bm25", "sparse", "dense")
        counts = {index.contents.branch(name).doc_count for name in index.branches}
        assert counts == {len(index)} == {len(DOCUMENTS)}


def test_branches_hold_what_the_encoders_gave(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        everything = np.arange(len(index), dtype=np.int32)
        texts = [index.document(doc_id).full_text for doc_id in index.contents.doc_ids]
        encoder = index.sparse_encoder("sparse")
        stored = index.contents.sparse("sparse").vectors(everything).toarray()
        exact = encoder.encode_documents(texts).toarray()
        scale = exact.max(axis=0) / 255
        assert (np.abs(stored - exact) <= scale / 2 + 1e-6).all()


def test_float32_weights_are_kept_exactly(tiny_sparse: Path, beir_folder: Path) -> None:
    options = BuildOptions(str(tiny_sparse), dense=None, bm25=False, weights="float32")
    with hybrid.open(built(beir_folder, options)) as index:
        texts = [index.document(doc_id).full_text for doc_id in index.contents.doc_ids]
        exact = index.sparse_encoder("sparse").encode_documents(texts).toarray()
        everything = np.arange(len(index), dtype=np.int32)
        stored = index.contents.sparse("sparse").vectors(everything).toarray()
        np.testing.assert_allclose(stored, exact, rtol=1e-5)
        report = index.info().branches["sparse"]["report"]
        assert report["quantisation_max_abs_error"] == 0


def test_quantisation_loss_is_reported(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        report = index.info().branches["sparse"]["report"]
        assert 0 < report["quantisation_mean_relative_error"] < 0.05


def test_existing_output_is_refused_untouched(beir_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine"
    output.mkdir()
    (output / "letter").write_text("dear")
    with pytest.raises(OutputExistsError, match="exists"):
        build_index(open_source(beir_folder), output, BM25_ONLY)
    assert [p.name for p in output.iterdir()] == ["letter"]


def test_empty_corpus_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    write_beir(tmp_path / "beir", documents={})
    with pytest.raises(CorpusError, match="no documents"):
        built(tmp_path / "beir")
    assert [p.name for p in tmp_path.iterdir()] == ["beir"]


def test_corrupt_line_is_named_and_leaves_nothing(beir_folder: Path) -> None:
    with (beir_folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "x", "text": \n')
    line = len(DOCUMENTS) + 1
    with pytest.raises(CorpusError, match=rf"corpus.jsonl, line {line}"):
        built(beir_folder)
    assert [p.name for p in beir_folder.parent.iterdir()] == ["beir"]


def test_unknown_model_leaves_nothing(beir_folder: Path) -> None:
    with pytest.raises(ModelError, match="no-such-model"):
        built(beir_folder, BuildOptions(sparse=None, dense=str(beir_folder / "no-such-model")))
    assert [p.name for p in beir_folder.parent.iterdir()] == ["beir"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sparse": None, "dense": None, "bm25": False}, "every branch is left out"),
        ({"weights": "int4"}, "weights is 'int4'"),
        ({"vectors": "tree"}, "vectors is 'tree'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        BuildOptions(**options)


class Interrupted:
    """A source whose stream is cut by Ctrl-C after some documents, the first time."""

    name = "interrupted"

    def __init__(self, folder: Path, after: int) -> None:
        self._source = open_source(folder)
        self.skipped = self._source.skipped
        self._after: int | None = after

    def document_count(self) -> int | None:
        return None

    def documents(self) -> Iterator[Document]:
        for number, document in enumerate(self._source.documents()):
            if number == self._after:
                self._after = None
                raise KeyboardInterrupt
            yield document


def test_finished_shards_outlive_a_corrupt_line_that_comes_later(tmp_path: Path) -> None:
    documents = {f"d{i:04}": ("", f"merge sorted lists {i}") for i in range(1500)}
    corpus = write_beir(tmp_path / "beir", documents) / "corpus.jsonl"
    whole = corpus.read_text()
    corpus.write_text(whole + "{broken\n")
    with pytest.raises(CorpusError, match="line 1501"):
        built(tmp_path / "beir")
    assert not (tmp_path / "index").exists()
    assert (tmp_path / "index.building" / "workspace" / "000000.bm25").is_dir()
    corpus.write_text(whole)
    built(tmp_path / "beir")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beir", "index"]


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    return {
        name.split("/", 2)[-1]: data
        for name, data in named.items()
        if name.startswith("generations") and not name.endswith("manifest.json")
    }


def test_interrupted_build_goes_on_to_the_same_bytes(
    tmp_path: Path, tiny_dense: Path, tiny_sparse: Path
) -> None:
    documents = {f"d{i:04}": ("", f"merge sorted lists {i}") for i in range(1500)}
    folder = write_beir(tmp_path / "beir", documents)
    options = BuildOptions(sparse=str(tiny_sparse), dense=None)
    source = Interrupted(folder, after=1200)
    with pytest.raises(KeyboardInterrupt):
        build_index(source, tmp_path / "cut", options)
    assert not (tmp_path / "cut").exists()
    assert (tmp_path / "cut.building").is_dir()
    # The machine may be lost: what lay beside the index goes on elsewhere, its shards untouched.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "cut.building", elsewhere / "cut.building")
    kept = {path: path.stat().st_mtime_ns for path in elsewhere.glob("cut.building/*/000000.*/*")}
    with pytest.raises(KeyboardInterrupt):
        build_index(Interrupted(folder, after=1300), elsewhere / "cut", options)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept != {}
    build_index(source, elsewhere / "cut", options)
    build_index(source, tmp_path / "cut", options)
    build_index(open_source(folder), tmp_path / "whole", options)
    assert files(elsewhere / "cut") == files(tmp_path / "whole")
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert not (tmp_path / "cut.building").exists()


def test_full_disk_is_said_and_the_index_absent(
    beir_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hybrid.index.segment_writer.write_postings", full)
    with pytest.raises(HybridError, match=r"[Nn]o space|disk is full"):
        built(beir_folder)
    assert not (beir_folder.parent / "index").exists()


def test_device_and_batches_of_a_build_are_not_recorded(
    beir_folder: Path, tiny_dense: Path, tiny_sparse: Path, tmp_path: Path
) -> None:
    options = BuildOptions(
        sparse=str(tiny_sparse), dense=str(tiny_dense), device="cpu", batch_size=2, cache=False
    )
    report = build_index(open_source(beir_folder), tmp_path / "index", options)
    for record in report.branches.values():
        assert not {"device", "batch_size"} & record.encoder.keys()
    with pytest.raises(UsageError, match="batch_size is 0; expected 1 or more"):
        BuildOptions(batch_size=0)
