from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hybrid.encoders.models.by_name import load_sparse
from hybrid.encoders.models.from_dense import meaningless_terms, write_splade, write_splade_doc
from hybrid.encoders.splade_head import SpladeHead
from hybrid.errors import ModelError
from hybrid.training.states import CandidateHead

HIDDEN, VOCABULARY = 6, 11


def made_head(kind: type[SpladeHead] = SpladeHead, **terms: int) -> SpladeHead:
    torch.manual_seed(3)
    head = kind(HIDDEN, VOCABULARY, **terms)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        head.decoder.copy_(torch.randn(VOCABULARY, HIDDEN))
        head.literal.add_(0.5)
    return head


def made_features() -> dict[str, Any]:
    torch.manual_seed(5)
    return {
        "token_embeddings": torch.randn(2, 4, HIDDEN),
        "input_ids": torch.tensor([[1, 2, 2, 5], [7, 8, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
        "candidates": torch.arange(VOCABULARY).expand(2, VOCABULARY),
    }


def by_hand(head: SpladeHead, features: dict[str, Any]) -> torch.Tensor:
    """The formula of the module's docstring, term by term and token by token."""
    hidden = head.norm(head.transform(features["token_embeddings"]))
    rows = []
    for text in range(len(hidden)):
        tokens = [
            int(t)
            for t, m in zip(
                *(features[n][text] for n in ("input_ids", "attention_mask")), strict=True
            )
            if m
        ]
        best = [torch.zeros(()) for _ in range(VOCABULARY)]
        for i, token in enumerate(tokens):
            z = hidden[text, i]
            for v in range(VOCABULARY):
                logit = head.scale[v] * (z @ head.decoder[v]) + head.bias[v]
                best[v] = torch.maximum(best[v], logit)
                if v == token:
                    tf = torch.tensor(float(tokens.count(v)))
                    gain = head.literal[v] + head.context @ z + head.repeat * tf.log()
                    best[v] = torch.maximum(best[v], logit + torch.relu(gain))
        rows.append(torch.stack([torch.log1p(value) for value in best]))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", [SpladeHead, CandidateHead])
def test_weights_and_gradients_are_those_of_the_formula(kind: type[SpladeHead]) -> None:
    head, features = made_head(kind), made_features()
    expected = by_hand(head, features)
    found = head(dict(features))["sentence_embedding"]
    torch.testing.assert_close(found, expected)
    target = torch.randn(expected.shape)
    names, parameters = zip(*head.named_parameters(), strict=True)
    ours = torch.autograd.grad((found * target).sum(), parameters, allow_unused=True)
    theirs = torch.autograd.grad((expected * target).sum(), parameters, allow_unused=True)
    for name, one, other in zip(names, ours, theirs, strict=True):
        assert one is not None, name
        assert other is not None, name
        torch.testing.assert_close(one, other, msg=name)


def test_without_gradient_the_weights_are_the_same() -> None:
    head, features = made_head().eval(), made_features()
    expected = by_hand(head, features).detach()
    with torch.inference_mode():
        found = head(dict(features))["sentence_embedding"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_changed_weights_change_the_next_encoding() -> None:
    head, features = made_head().eval(), made_features()
    with torch.no_grad():
        before = head(dict(features))["sentence_embedding"].clone()
        head.bias.add_(1.0)
        after = head(dict(features))["sentence_embedding"]
    assert bool((after >= before).all())
    assert bool((after > before).any())


def test_padding_changes_nothing() -> None:
    head, features = made_head(), made_features()
    whole = head(dict(features))["sentence_embedding"][1:]
    short = {
        name: value[1:, :2] if name != "candidates" else value[1:]
        for name, value in features.items()
    }
    torch.testing.assert_close(head(short)["sentence_embedding"], whole)


def test_only_the_strongest_terms_are_kept_when_encoding() -> None:
    head, features = made_head(document_terms=2, query_terms=1), made_features()
    full = by_hand(head, features).detach().numpy()
    head.eval()
    with torch.no_grad():
        for task, count in (("document", 2), ("query", 1)):
            found = head(dict(features), task=task)["sentence_embedding"].numpy()
            for row, all_terms in zip(found, full, strict=True):
                kept = np.argsort(-all_terms)[:count]
                assert set(np.flatnonzero(row)) == {int(t) for t in kept if all_terms[t] > 0}


def made_weights(folder: Path, dense: Path, *, layer: bool) -> Path:
    from safetensors.torch import save_file
    from transformers import AutoModel, AutoTokenizer

    bert = AutoModel.from_pretrained(dense)
    tokenizer = AutoTokenizer.from_pretrained(dense)
    size, width = bert.get_input_embeddings().weight.shape
    head = SpladeHead(width, size)
    with torch.no_grad():
        head.literal.fill_(2.0)
        head.bias[meaningless_terms(tokenizer.get_vocab())] = -1e4
    tensors = {f"head.{k}": v for k, v in head.state_dict().items() if k != "decoder"}
    if layer:
        last = bert.encoder.layer[1].state_dict()
        tensors |= {f"layer.1.{k}": v + 0.01 for k, v in last.items()}
    tensors["static.weight"] = torch.arange(size, dtype=torch.float32)
    save_file({k: v.half().contiguous() for k, v in tensors.items()}, folder / "w.safetensors")
    return folder / "w.safetensors"


@pytest.mark.parametrize("layer", [False, True])
def test_shipped_weights_become_a_model_folder(
    layer: bool, tiny_dense: Path, tmp_path: Path
) -> None:
    weights = made_weights(tmp_path, tiny_dense, layer=layer)
    write_splade(tiny_dense, weights, tmp_path / "both")
    write_splade_doc(tiny_dense, weights, tmp_path / "doc")
    both, doc = (load_sparse(str(tmp_path / name)) for name in ("both", "doc"))
    text = "merge sorted lists . lists"
    row = both.encode_documents([text])
    assert {"merge", "sorted", "lists"} <= {both.vocabulary[i] for i in row.indices}
    assert "." not in {both.vocabulary[i] for i in row.indices}
    np.testing.assert_array_equal(row.toarray(), doc.encode_documents([text]).toarray())
    terms = dict(enumerate(doc.vocabulary))
    query = doc.encode_queries(["parse json"])
    assert {terms[i]: float(w) for i, w in zip(query.indices, query.data, strict=True)} == {
        "parse": float(doc.vocabulary.index("parse")),
        "json": float(doc.vocabulary.index("json")),
    }


def test_weights_of_another_encoder_are_refused(tiny_dense: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = made_weights(tmp_path, tiny_dense, layer=False)
    tensors = load_file(weights) | {"head.context": torch.zeros(3)}
    save_file(tensors, weights)
    with pytest.raises(ModelError, match="do not fit"):
        write_splade(tiny_dense, weights, tmp_path / "out")
