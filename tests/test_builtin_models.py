"""Built-in models: found without running foreign code, verified, made once."""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hybrid.encoders import export_model, list_models, load_dense, load_sparse
from hybrid.encoders.models.by_name import DATA, MINILM_PACKAGE, MINILM_SHA256, model_folder
from hybrid.errors import MissingPackageError, ModelError, UsageError
from hybrid.machine.outputs import write_folder


def has_minilm() -> bool:
    import importlib.util

    return importlib.util.find_spec(MINILM_PACKAGE) is not None


needs_minilm = pytest.mark.skipif(not has_minilm(), reason="the extra `offline` is not installed")


def pretend_package(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    spec = None
    if folder is not None:
        spec = importlib.machinery.ModuleSpec(MINILM_PACKAGE, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_package(monkeypatch, None)
    with pytest.raises(MissingPackageError, match=r"hybrid-retrieval\[offline\]"):
        load_dense("builtin:minilm")


@pytest.mark.parametrize("content", [b"changed", None])
def test_other_weights_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    pretend_package(monkeypatch, tmp_path)
    (tmp_path / "model").mkdir()
    if content is not None:
        (tmp_path / "model" / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=MINILM_SHA256):
        load_dense("builtin:minilm")


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ModelError, match="builtin:minilm"):
        load_dense("builtin:nothing")
    with pytest.raises(ModelError, match="is a dense model"):
        load_sparse("builtin:minilm")
    with pytest.raises(ModelError, match="is a sparse model"):
        load_dense("builtin:splade")
    with pytest.raises(UsageError, match="no revisions"):
        load_dense("builtin:minilm", revision="main")
    assert {model.spec for model in list_models()} >= {"builtin:minilm", "builtin:splade"}


@needs_minilm
@pytest.mark.offline_model
def test_minilm_is_loaded_and_its_code_is_not() -> None:
    encoder = load_dense("builtin:minilm", device="cpu")
    vectors = encoder.encode_documents(["a heap queue", "a heap queue", "the weather"])
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert encoder.fingerprint["weights"] == MINILM_SHA256
    assert encoder.fingerprint["max_length"] == 256
    assert MINILM_PACKAGE not in sys.modules


@needs_minilm
def test_shipped_weights_that_changed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.encoders.models.by_name.DATA", tmp_path)
    (tmp_path / "splade.safetensors").write_bytes(b"changed")
    (tmp_path / "splade.json").write_text('{"sha256": "abc"}')
    assert "builtin:splade-doc" in {model.spec for model in list_models()}
    for spec in ("builtin:splade", "builtin:splade-doc"):
        with pytest.raises(ModelError, match="expected abc"):
            load_sparse(spec)


@needs_minilm
@pytest.mark.offline_model
def test_exported_minilm_has_the_published_weights(tmp_path: Path) -> None:
    export_model("builtin:minilm", tmp_path / "minilm")
    assert (
        load_dense(str(tmp_path / "minilm"), device="cpu").fingerprint["weights"] == MINILM_SHA256
    )


@needs_minilm
@pytest.mark.parametrize("spec", ["builtin:splade", "builtin:splade-doc"])
def test_an_exported_splade_is_a_sentence_transformers_model_with_its_card(
    spec: str, tmp_path: Path
) -> None:
    from sentence_transformers import SparseEncoder

    export_model(spec, tmp_path / "model")
    plain = SparseEncoder(str(tmp_path / "model"), trust_remote_code=True, device="cpu")
    ours = load_sparse(spec, device="cpu")
    texts = ["a heap queue", "read a file", "the weather"]
    for given, own in (
        (plain.encode_query(texts), ours.encode_queries(texts)),
        (plain.encode_document(texts), ours.encode_documents(texts)),
    ):
        np.testing.assert_allclose(given.to_dense().cpu().numpy(), own.toarray(), atol=1e-3)
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "trust_remote_code=True" in card
    assert card.startswith("---\n")


@needs_minilm
def test_the_shipped_weights_have_the_recorded_checksum_and_size() -> None:
    record = json.loads((DATA / "splade.json").read_text(encoding="utf-8"))
    weights = DATA / "splade.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == record["sha256"]
    assert weights.stat().st_size == record["bytes"]
    assert record["base_sha256"] == MINILM_SHA256


ASKED_AND_TOLD = {
    "how to lower blood pressure": "Antihypertensive drugs treat hypertension.",
    "capital city of france": "Paris lies on the Seine and is the seat of the French government.",
    "sorting a list of numbers": "Quicksort orders the elements of an array by partitioning it.",
    "what do bees make": "Honey is produced from nectar in the hive.",
    "planet with rings": "Saturn is surrounded by bands of ice and dust.",
    "write text to a file": "The stream is opened for output and closed when all bytes are saved.",
}


@needs_minilm
@pytest.mark.parametrize("spec", ["builtin:splade", "builtin:splade-doc"])
def test_the_shipped_model_ranks_what_answers_first(spec: str) -> None:
    encoder = load_sparse(spec, device="cpu")
    documents = encoder.encode_documents(list(ASKED_AND_TOLD.values()))
    queries = encoder.encode_queries(list(ASKED_AND_TOLD))
    first = np.asarray((queries @ documents.T).todense()).argmax(axis=1)
    assert (first == np.arange(len(ASKED_AND_TOLD))).mean() >= 5 / 6
    assert np.diff(documents.indptr).max() <= 200
    assert np.diff(queries.indptr).max() <= 40


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fails(target: Path) -> None:
        (target / "half").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_folder(tmp_path / "m", fails)
    assert [*tmp_path.iterdir()] == []


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    def slow(target: Path) -> None:
        (target / "file").write_text("second")
        if not (tmp_path / "m").exists():
            write_folder(
                tmp_path / "m", lambda other: (other / "file").write_text("first") and None
            )

    write_folder(tmp_path / "m", slow)
    assert (tmp_path / "m" / "file").read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_the_model_folder_of_a_path_is_itself(tiny_dense: Path) -> None:
    assert model_folder(str(tiny_dense)).path == tiny_dense
