"""SPLADE pooling in blocks and by screening equals the model's own pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.encoders import load_dense, load_sparse
from hybrid.encoders.mlm import MlmRoute, mlm_route
from hybrid.encoders.pooling import LargestLogits
from hybrid.errors import UsageError

TEXTS = ["merge sorted lists", "heap", "open a file path and read json in a thread", "seed ?"]


def head_and_features(path: Path, bias: float, scale: float = 4.0) -> tuple[Any, Any, Any]:
    """Return a SparseEncoder with louder logits, its modules, and the features of TEXTS."""
    import torch
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(path), device="cpu")
    decoder = model[0].model.get_output_embeddings()
    with torch.no_grad():
        decoder.weight.mul_(scale / decoder.weight.norm(dim=1).mean())
        decoder.bias.copy_(torch.full_like(decoder.bias, bias))
    return model, [*model], model.preprocess(TEXTS)


@pytest.mark.parametrize("screen", [False, True])
@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("bias", [-9.0, -2.0, 0.0, 2.0])
def test_blocks_and_screening_equal_the_model(
    tiny_sparse: Path, monkeypatch: pytest.MonkeyPatch, screen: bool, block: int, bias: float
) -> None:
    import torch

    monkeypatch.setattr("hybrid.encoders.pooling.VOCABULARY_BLOCK", block)
    monkeypatch.setattr("hybrid.encoders.pooling.SCREENED_LOGITS", 40 * block)
    model, modules, features = head_and_features(tiny_sparse, bias)
    with torch.inference_mode():
        expected = model(dict(features))["sentence_embedding"].numpy()
        found = MlmRoute(*modules, screen=screen)(features).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    active = (expected > 0).mean()
    assert 0 < active < 1 or bias in (-9.0, 2.0)


def test_screening_finds_the_same_terms_as_float32(tiny_sparse: Path) -> None:
    import torch

    _, modules, features = head_and_features(tiny_sparse, bias=-2.0)
    with torch.inference_mode():
        exact = MlmRoute(*modules, screen=False)(features)
        screened = MlmRoute(*modules, screen=True)(features)
    assert torch.equal(exact > 0, screened > 0)


@pytest.mark.parametrize("width", [1, 8, 384])
def test_screening_loses_no_logit_just_above_0(width: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(width)
    weight = torch.randn(4000, width, generator=generator)
    states = torch.randn(1, 1, width, generator=generator) * 60 / width**0.5
    bias = -(weight.double() @ states[0, 0].double()).float() + 1e-3
    mask = torch.ones(1, 1, dtype=torch.bool)
    found = LargestLogits(weight, bias, screen=True)(states, mask)
    expected = LargestLogits(weight, bias, screen=False)(states, mask)
    assert (expected > 0).float().mean() > 0.99
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_screening_takes_the_states_of_bfloat16_products() -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    weight, states = (
        torch.randn(50, 8, generator=generator),
        torch.randn(2, 3, 8, generator=generator),
    )
    mask = torch.ones(2, 3, dtype=torch.bool)
    pool = LargestLogits(weight, torch.zeros(50), screen=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = pool(states.bfloat16(), mask)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, pool(states, mask), atol=0.1, rtol=0.02)


def test_terms_that_can_never_be_active_are_left_out(tiny_sparse: Path) -> None:
    import torch

    model, modules, features = head_and_features(tiny_sparse, bias=0.0)
    with torch.no_grad():
        modules[0].model.get_output_embeddings().bias[10:] = -1e4
    head = MlmRoute(*modules, screen=True)
    assert head._largest.rows.tolist() == [*range(1, 10)]  # the row of [PAD] is all zeros
    with torch.inference_mode():
        found = head(features).numpy()
        expected = model(dict(features))["sentence_embedding"].numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_long_hidden_states_bring_every_row_back(
    tiny_sparse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr("hybrid.encoders.pooling.NORM_LIMIT", 0.5)
    model, modules, features = head_and_features(tiny_sparse, bias=-3.0)
    head = MlmRoute(*modules, screen=True)
    assert len(head._largest.rows) < len(head._bias)
    with torch.inference_mode():
        found = head(features).numpy()
        expected = model(dict(features))["sentence_embedding"].numpy()
    assert (expected > 0).any()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_model_is_left_as_it_was(tiny_sparse: Path) -> None:
    import torch

    model, modules, features = head_and_features(tiny_sparse, bias=0.0)
    with torch.inference_mode():
        before = model(dict(features))["sentence_embedding"]
        MlmRoute(*modules)(features)
        after = model(dict(features))["sentence_embedding"]
    assert torch.equal(before, after)


def test_a_model_that_computes_otherwise_keeps_its_own_way(tiny_sparse: Path) -> None:
    import torch
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(tiny_sparse), device="cpu")
    assert mlm_route(model, "document") is not None
    decoder = model[0].model.get_output_embeddings()
    with torch.no_grad():
        decoder.bias.fill_(1.0)
    decoder.register_forward_hook(lambda module, given, logits: logits * 2)
    model[0].model.register_forward_hook(
        lambda module, given, output: type(output)(logits=output.logits * 3)
    )
    assert mlm_route(model, "document") is None


@pytest.mark.parametrize("architecture", ["DistilBert", "Roberta", "ModernBert"])
def test_other_architectures_are_taken_apart(
    tiny_bert: Path, tmp_path: Path, architecture: str
) -> None:
    import torch
    import transformers
    from sentence_transformers import SparseEncoder

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    sizes = {
        "DistilBert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32},
        "Roberta": {
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
    }
    sizes["ModernBert"] = sizes["Roberta"]
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(tokenizer), pad_token_id=0, **sizes[architecture]
    )
    torch.manual_seed(1)
    getattr(transformers, f"{architecture}ForMaskedLM")(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = SparseEncoder(str(tmp_path), device="cpu")
    assert mlm_route(model, "document") is not None
    expected = model.encode_document(TEXTS, convert_to_sparse_tensor=False).numpy()
    found = load_sparse(str(tmp_path), device="cpu").encode_documents(TEXTS).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_bfloat16_is_close_and_named(tiny_sparse: Path, tiny_dense: Path) -> None:
    for load, path in ((load_sparse, tiny_sparse), (load_dense, tiny_dense)):
        exact = load(str(path), device="cpu")
        rough = load(str(path), device="cpu", dtype="bfloat16")
        first, second = exact.encode_documents(TEXTS), rough.encode_documents(TEXTS)
        if load is load_sparse:
            first, second = first.toarray(), second.toarray()
        assert second.dtype == np.float32
        np.testing.assert_allclose(second, first, atol=0.05)
        assert (second != first).any()
        assert rough.fingerprint["precision"] == "bfloat16"
    with pytest.raises(UsageError, match="dtype is 'int3'"):
        load_dense(str(tiny_dense), dtype="int3")
