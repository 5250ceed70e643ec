from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from hybrid.encoders.from_dense import write_splade
from hybrid.encoders.models import load_sparse
from hybrid.training.prepare import Texts, prepare
from tests.conftest import DOCUMENTS, QUERIES

ROOT = Path(__file__).parent.parent
TOLD = [f"{title} {text}" for title, text in DOCUMENTS.values()]
ASKED = [text for text, _ in QUERIES.values()]
POSITIVE = np.array([list(DOCUMENTS).index(next(iter(judged))) for _, judged in QUERIES.values()])


@pytest.fixture(scope="module")
def pipeline() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "train_builtin", ROOT / "pipelines" / "train_builtin.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def parts(tiny_dense: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    bert = AutoModel.from_pretrained(tiny_dense, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(tiny_dense)
    folder = tmp_path_factory.mktemp("prepared")
    queries, documents = (
        prepare(texts, bert, tokenizer, folder / name, tokens=16, candidates=20)
        for name, texts in (("queries", ASKED), ("documents", TOLD))
    )
    return bert, tokenizer, queries, documents


def test_prepared_states_are_those_of_the_model(parts: tuple[Any, Any, Texts, Texts]) -> None:
    bert, tokenizer, _, documents = parts
    with torch.inference_mode():
        states = bert(
            **tokenizer([TOLD[3]], return_tensors="pt"), output_hidden_states=True
        ).hidden_states
    here = slice(documents.offsets[3], documents.offsets[4])
    np.testing.assert_allclose(documents.before[here], states[-2][0].numpy(), atol=2e-3)
    np.testing.assert_allclose(documents.after[here], states[-1][0].numpy(), atol=2e-3)
    assert documents.ids[here].tolist() == tokenizer(TOLD[3])["input_ids"]
    assert set(documents.counts[3].indices) <= set(documents.candidates[3].tolist())
    assert documents.counts[3].sum() == len(TOLD[3].split()) - 1  # "a" is not in the vocabulary


def test_negatives_are_the_best_of_the_teacher_without_the_positive(
    pipeline: ModuleType, parts: tuple[Any, Any, Texts, Texts]
) -> None:
    config = pipeline.CONFIGURED | {"mined": 4}
    mined = pipeline.mine(parts[2], parts[3], POSITIVE, config)
    for query, positive in enumerate(POSITIVE):
        scores = mined.score(np.full(len(TOLD), query), np.arange(len(TOLD)))
        assert mined.rank[query] == 1 + (scores > scores[positive]).sum()
        scores[positive] = -np.inf
        np.testing.assert_allclose(
            np.sort(scores[mined.negatives[query]]), np.sort(scores)[-4:], rtol=1e-5
        )


@pytest.mark.parametrize("layers", [0, 1])
def test_stages_train_and_their_weights_ship(
    layers: int,
    pipeline: ModuleType,
    parts: tuple[Any, Any, Texts, Texts],
    tiny_dense: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bert, tokenizer, queries, documents = parts
    stage = pipeline.CONFIGURED["stages"][0] | {
        "layers": layers, "steps": 2, "batch": 2, "hard": 3, "negatives": 2, "warmup": 1,
    }  # fmt: skip
    config = pipeline.CONFIGURED | {"mined": 4, "held_out_every": 100, "stages": [stage]}
    monkeypatch.setattr(pipeline, "CONFIGURED", config)
    monkeypatch.setattr(pipeline, "shift_bias", lambda head, shift: None)
    mined = pipeline.mine(queries, documents, POSITIVE, config)
    head, free = pipeline.starting_head(bert, tokenizer, mined.idf, config["start"] | {"bias": 0.5})
    before = {name: value.clone() for name, value in head.state_dict().items()}
    free = pipeline.train_stage(mined, stage, bert, tokenizer, head, free, tmp_path / "work")
    changed = {n for n, value in head.state_dict().items() if not torch.equal(value, before[n])}
    assert {"bias", "literal"} <= changed
    assert "decoder" not in changed
    pipeline.export(head, free, bert, tmp_path / "splade.safetensors")
    write_splade(tiny_dense, tmp_path / "splade.safetensors", tmp_path / "model")
    encoder = load_sparse(str(tmp_path / "model"))
    row = encoder.encode_documents(["merge sorted lists"])
    assert row.shape == (1, len(encoder.vocabulary))
