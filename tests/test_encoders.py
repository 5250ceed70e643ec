"""Neural encoders: equal to sentence-transformers, batched by length, honest about errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.encoders import DenseEncoder, SparseEncoder, check_fingerprint, load_dense, load_sparse
from hybrid.encoders.batching import pack
from hybrid.encoders.models.fingerprint import tokenizer_sha256, weights_sha256
from hybrid.encoders.models.locate import locate
from hybrid.errors import ModelError, ModelMismatchError, OutputExistsError, UsageError

TEXTS = [
    "merge sorted lists",
    "",
    "a",
    "open the path of a file and read it with a random seed, then write json to the socket. "
    "is this long? match the regular expression of a date string",
    "heap queue",
    "how do i parse the json file",
    "unknownword",
]


@given(st.lists(st.integers(1, 40), max_size=50), st.integers(1, 100))
def test_batches_hold_every_row_once_under_the_budget(lengths: list[int], budget: int) -> None:
    batches = pack(np.array(lengths, dtype=np.int64), budget)
    assert sorted(row for batch in batches for row in batch.tolist()) == [*range(len(lengths))]
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


def dense_reference(path: Path, texts: list[str], **options: Any) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(path), device="cpu").encode_document(texts, **options)


def sparse_reference(path: Path, texts: list[str], task: str = "document") -> Any:
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(path), device="cpu")
    encode = model.encode_document if task == "document" else model.encode_query
    return encode(texts, convert_to_sparse_tensor=False).cpu().numpy()


def save_sparse(base: Path, target: Path, pooling: Callable[[], Any], **options: Any) -> Path:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import Transformer

    transformer = Transformer(str(base), transformer_task="fill-mask", max_seq_length=32)
    SparseEncoder(modules=[transformer, pooling()], device="cpu", **options).save(str(target))
    return target


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_dense_equals_sentence_transformers(tiny_dense: Path, budget: int) -> None:
    encoder = load_dense(str(tiny_dense), device="cpu", token_budget=budget)
    vectors = encoder.encode_documents(TEXTS)
    np.testing.assert_allclose(vectors, dense_reference(tiny_dense, TEXTS), atol=1e-6)
    assert vectors.dtype == np.float32
    assert vectors.flags["C_CONTIGUOUS"]
    assert isinstance(encoder, DenseEncoder)


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_sparse_equals_sentence_transformers(tiny_sparse: Path, budget: int) -> None:
    encoder = load_sparse(str(tiny_sparse), device="cpu", token_budget=budget)
    weights = encoder.encode_documents(TEXTS)
    expected = sparse_reference(tiny_sparse, TEXTS)
    expected[1] = 0  # a blank text has no terms
    np.testing.assert_allclose(weights.toarray(), expected, atol=1e-6)
    assert weights.nnz > 0
    assert weights.dtype == np.float32
    assert weights.has_sorted_indices
    assert weights.data.min() > 0
    assert weights.shape == (len(TEXTS), len(encoder.vocabulary))
    assert isinstance(encoder, SparseEncoder)


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_pooling_and_activation_pass_through(
    tiny_bert: Path, tmp_path: Path, strategy: Any, activation: Any
) -> None:
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    path = save_sparse(tiny_bert, tmp_path / "m", lambda: SpladePooling(strategy, activation))
    encoder = load_sparse(str(path), device="cpu")
    texts = [text for text in TEXTS if text]
    np.testing.assert_allclose(
        encoder.encode_documents(texts).toarray(), sparse_reference(path, texts), atol=1e-5
    )
    assert encoder.fingerprint["pooling"] == strategy
    assert encoder.fingerprint["activation"] == activation


def test_at_most_max_active_dims_terms(tiny_bert: Path, tmp_path: Path) -> None:
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    path = save_sparse(tiny_bert, tmp_path / "m", SpladePooling, max_active_dims=5)
    texts = [text for text in TEXTS if text]
    weights = load_sparse(str(path), device="cpu").encode_documents(texts)
    np.testing.assert_allclose(weights.toarray(), sparse_reference(path, texts), atol=1e-6)
    assert np.diff(weights.indptr).max() == 5


def test_router_queries_need_no_network(tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    from sentence_transformers import SparseEncoder as Model
    from sentence_transformers.sparse_encoder.modules import (
        Router,
        SparseStaticEmbedding,
        SpladePooling,
        Transformer,
    )

    document = Transformer(str(tiny_bert), transformer_task="fill-mask", max_seq_length=32)
    weight = torch.linspace(0.0, 2.0, len(document.tokenizer))
    query = SparseStaticEmbedding(document.tokenizer, weight=weight)
    router = Router.for_query_document(
        query_modules=[query], document_modules=[document, SpladePooling("max")]
    )
    path = tmp_path / "router"
    Model(modules=[router], device="cpu").save(str(path))
    encoder = load_sparse(str(path), device="cpu")
    texts = ["merge sorted lists", "json json"]
    np.testing.assert_allclose(
        encoder.encode_documents(texts).toarray(), sparse_reference(path, texts), atol=1e-6
    )
    queries = encoder.encode_queries([*texts, " ", ""])
    np.testing.assert_allclose(
        queries.toarray()[:2], sparse_reference(path, texts, "query"), atol=1e-6
    )
    json_term = encoder.vocabulary.index("json")
    assert queries[1].indices.tolist() == [json_term]
    assert queries[1, json_term] == pytest.approx(float(weight[json_term]))
    assert queries[2:].nnz == 0
    assert encoder.encode_queries([""]).shape == (1, len(encoder.vocabulary))


def test_left_padding(tiny_bert: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(str(tiny_bert), max_seq_length=32)
    transformer.tokenizer.padding_side = "left"
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="lasttoken")
    path = tmp_path / "left"
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(path))
    vectors = load_dense(str(path), device="cpu", token_budget=20).encode_documents(TEXTS)
    one_by_one = np.vstack([dense_reference(path, [text]) for text in TEXTS])
    one_by_one /= np.linalg.norm(one_by_one, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, one_by_one, atol=2e-2)


def test_prompts_come_from_the_model_and_give_way_to_options(
    tiny_dense: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(tiny_dense), device="cpu", prompts={"query": "parse ", "document": "read "}
    )
    path = tmp_path / "prompted"
    model.save(str(path))
    plain = load_dense(str(tiny_dense), device="cpu")
    prompted = load_dense(str(path), device="cpu")
    close = {"atol": 1e-6}
    np.testing.assert_allclose(
        prompted.encode_queries(["json"]), plain.encode_queries(["parse json"]), **close
    )
    np.testing.assert_allclose(
        prompted.encode_documents(["json"]), plain.encode_documents(["read json"]), **close
    )
    other = load_dense(str(path), device="cpu", query_prompt="dump ", document_prompt="")
    np.testing.assert_allclose(
        other.encode_queries(["json"]), plain.encode_queries(["dump json"]), **close
    )
    np.testing.assert_allclose(
        other.encode_documents(["json"]), plain.encode_documents(["json"]), **close
    )
    with pytest.raises(ModelMismatchError, match="'parse ' in the index, 'dump ' now"):
        check_fingerprint(prompted.fingerprint, other.fingerprint)


def test_max_length_cuts(tiny_dense: Path) -> None:
    short = load_dense(str(tiny_dense), device="cpu", max_length=4)
    vectors = short.encode_documents(["merge sorted lists heap", "merge sorted"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert short.fingerprint["max_length"] == 4


def test_the_same_chunk_gives_the_same_bytes(tiny_dense: Path, tiny_sparse: Path) -> None:
    dense = load_dense(str(tiny_dense), device="cpu")
    assert dense.encode_documents(TEXTS).tobytes() == dense.encode_documents(TEXTS).tobytes()
    sparse = load_sparse(str(tiny_sparse), device="cpu")
    assert (sparse.encode_documents(TEXTS) != sparse.encode_documents(TEXTS)).nnz == 0


def test_more_texts_than_a_chunk(
    tiny_dense: Path, tiny_sparse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.encoders.dense.CHUNK", 3)
    monkeypatch.setattr("hybrid.encoders.splade.CHUNK", 3)
    seen: list[int] = []
    dense = load_dense(str(tiny_dense), device="cpu")
    np.testing.assert_allclose(
        dense.encode_documents(TEXTS, seen.append), dense_reference(tiny_dense, TEXTS), atol=1e-6
    )
    assert sum(seen) == len(TEXTS)
    seen.clear()
    sparse = load_sparse(str(tiny_sparse), device="cpu")
    expected = sparse_reference(tiny_sparse, TEXTS)
    expected[1] = 0
    found = sparse.encode_documents(TEXTS, seen.append).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert sum(seen) == len(TEXTS)


def test_no_texts(tiny_dense: Path, tiny_sparse: Path) -> None:
    assert load_dense(str(tiny_dense), device="cpu").encode_documents([]).shape == (0, 16)
    sparse = load_sparse(str(tiny_sparse), device="cpu")
    assert sparse.encode_documents([]).shape == (0, len(sparse.vocabulary))
    assert sparse.encode_documents(["", " \n"]).nnz == 0


def test_vectors_have_unit_length_only_for_the_cosine(tiny_bert: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    lengths = {}
    for similarity in ("cosine", "dot", "euclidean"):
        transformer = Transformer(str(tiny_bert), max_seq_length=32)
        modules = [transformer, Pooling(transformer.get_embedding_dimension())]
        path = tmp_path / similarity
        model = SentenceTransformer(modules=modules, device="cpu", similarity_fn_name=similarity)
        model.save(str(path))
        if similarity == "euclidean":
            with pytest.raises(ModelError, match="euclidean"):
                load_dense(str(path), device="cpu")
            continue
        encoder = load_dense(str(path), device="cpu")
        assert encoder.fingerprint["similarity"] == similarity
        lengths[similarity] = float(np.linalg.norm(encoder.encode_queries(["heap"])[0]))
    assert lengths["cosine"] == pytest.approx(1)
    assert lengths["dot"] != pytest.approx(1)


def test_a_hub_model_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for load in (load_dense, load_sparse):
        with pytest.raises(
            ModelError, match=r"nobody/nothing.*hub cache.*built-in model.*hybrid models list"
        ):
            load("nobody/nothing")
    with pytest.raises(ModelError, match="revision 'abc'"):
        load_dense("nobody/nothing", revision="abc")


@pytest.mark.parametrize("spec", ["./absent", "/absent", "a/b/c", "~/absent"])
def test_an_absent_folder_is_not_looked_for_on_the_hub(spec: str) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        load_dense(spec)


def test_bad_models_are_named(tmp_path: Path, tiny_dense: Path, tiny_bert: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        load_dense("two words")
    with pytest.raises(ModelError, match=r"modules\.json"):
        load_dense(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_dense(str(tmp_path))
    with pytest.raises(ModelError, match="no revisions"):
        load_dense(str(tiny_dense), revision="main")
    with pytest.raises(UsageError, match="has 64 positions"):
        load_dense(str(tiny_dense), max_length=65, device="cpu")
    with pytest.raises(UsageError, match="max_length is 0"):
        load_dense(str(tiny_dense), max_length=0)
    with pytest.raises(UsageError, match="unknown model option 'batch'"):
        load_dense(str(tiny_dense), batch=3)


def test_a_model_without_a_head_is_no_sparse_encoder(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    path = tmp_path / "headless"
    AutoModel.from_pretrained(tiny_bert).save_pretrained(path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(path)
    with pytest.raises(ModelError, match="no masked-language-model head"):
        load_sparse(str(path))


def test_a_dense_model_is_no_sparse_encoder(tiny_dense: Path) -> None:
    with pytest.raises(ModelError, match="no masked-language-model head"):
        load_sparse(str(tiny_dense))


def test_a_plain_masked_language_model_is_a_sparse_encoder(tiny_bert: Path) -> None:
    assert load_sparse(str(tiny_bert), device="cpu").encode_queries(["heap"]).nnz > 0


def test_fingerprints_differ_where_the_numbers_do(tiny_dense: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_dense, copy)
    first = load_dense(str(tiny_dense), device="cpu")
    second = load_dense(str(copy), device="cpu")
    check_fingerprint(first.fingerprint, second.fingerprint)

    weights = copy / "model.safetensors"
    held = bytearray(weights.read_bytes())
    held[-1] ^= 1
    weights.write_bytes(held)
    changed = load_dense(str(copy), device="cpu")
    with pytest.raises(ModelMismatchError) as caught:
        check_fingerprint(first.fingerprint, changed.fingerprint)
    for fingerprint in (first.fingerprint, changed.fingerprint):
        assert str(fingerprint["weights"]) in str(caught.value)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "training_args.bin").write_bytes(b"not weights")
    locate(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"b")
    with pytest.raises(ModelError, match=r"no safetensors weights, only pytorch_model\.bin, a pic"):
        locate(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"s")
    locate(str(tmp_path))


def test_weights_and_tokenizer_digests(tmp_path: Path) -> None:
    assert weights_sha256(tmp_path) is None
    (tmp_path / "pytorch_model.bin").write_bytes(b"b")
    old = weights_sha256(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"s")
    new = weights_sha256(tmp_path)
    assert old != new
    (tmp_path / "pytorch_model.bin").unlink()
    assert weights_sha256(tmp_path) == new
    (tmp_path / "1_Dense").mkdir()
    (tmp_path / "1_Dense" / "model.safetensors").write_bytes(b"d")
    assert weights_sha256(tmp_path) != new
    (tmp_path / "vocab.txt").write_bytes(b"v")
    words = tokenizer_sha256(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b"t")
    assert tokenizer_sha256(tmp_path) not in (None, words)


def test_importing_encoders_loads_no_torch() -> None:
    code = "import sys, hybrid.encoders; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_loading_is_quiet(tiny_dense: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_dense(str(tiny_dense), device="cpu").encode_queries(["heap"])
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_export_copies_a_model(tiny_dense: Path, tmp_path: Path) -> None:
    from hybrid.encoders import export_model

    target = tmp_path / "copy"
    export_model(str(tiny_dense), target)
    check_fingerprint(
        load_dense(str(tiny_dense), device="cpu").fingerprint,
        load_dense(str(target), device="cpu").fingerprint,
    )
    with pytest.raises(OutputExistsError):
        export_model(str(tiny_dense), target)


def test_a_batch_size_changes_no_vector_beyond_rounding(
    tiny_dense: Path, tiny_sparse: Path
) -> None:
    for load, model in ((load_dense, tiny_dense), (load_sparse, tiny_sparse)):
        one, few = (
            load(str(model), device="cpu", batch_size=size).encode_documents(TEXTS)
            for size in (1, 3)
        )
        plain = load(str(model), device="cpu").encode_documents(TEXTS)
        for each in (one, few):
            difference = abs(each - plain)
            assert difference.max() < 1e-5
    with pytest.raises(UsageError, match="batch_size is 0"):
        load_dense(str(tiny_dense), batch_size=0)


def test_literal_terms_stand_beside_encodings_of_other_threads(tiny_sparse: Path) -> None:
    encoder = load_sparse(str(tiny_sparse), max_length=8)
    alone = [encoder.literal_terms(text) for text in TEXTS]
    assert encoder.literal_terms(" ".join(["merge"] * 6 + ["heap"])) == {"merge"}

    def work(number: int) -> list[frozenset[str]]:
        if number % 2:
            for _ in range(20):
                encoder.encode_queries(TEXTS)
            return alone
        return [[encoder.literal_terms(text) for text in TEXTS] for _ in range(200)][-1]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [alone] * 8
