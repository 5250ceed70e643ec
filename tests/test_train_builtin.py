"""The pipeline of the built-in model, on a tiny BERT and a handful of pairs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from builtin_training.held_out import HeldOut, summed
from builtin_training.pairs import Source, draw_pairs, is_held_out
from builtin_training.teaching import Weights, teach
from hybrid.encoders.bm25 import inverse_document_frequency
from hybrid.encoders.models.by_name import load_sparse
from hybrid.encoders.models.from_dense import write_splade
from hybrid.errors import UsageError
from hybrid.training.callbacks import ndcg
from hybrid.training.prepare import StateOptions, Texts, prepare
from tests.conftest import DOCUMENTS, QUERIES, load_script

TOLD = [f"{title} {text}" for title, text in DOCUMENTS.values()]
ASKED = [text for text, _ in QUERIES.values()]
FIRST = [next(iter(judged)) for _, judged in QUERIES.values()]
PAIRS = [(q, " ".join(DOCUMENTS[d])) for q, d in zip(ASKED, FIRST, strict=True)]
TEACHER = Weights(dense=6.0, bm25=0.25, k1=0.9, b=0.4)


@pytest.fixture(scope="module")
def pipeline() -> ModuleType:
    return load_script("pipelines/train_builtin")


@pytest.fixture(scope="module")
def parts(tiny_dense: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    bert = AutoModel.from_pretrained(tiny_dense, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(tiny_dense)
    folder = tmp_path_factory.mktemp("prepared")
    queries, documents = (
        prepare(texts, bert, tokenizer, folder / name, StateOptions(16, 20, before=True))
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


def test_preparation_goes_on_where_it_was(
    parts: tuple[Any, Any, Texts, Texts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert, tokenizer, _, documents = parts
    monkeypatch.setattr("hybrid.training.prepare.BUDGET", 16)
    monkeypatch.setattr("hybrid.training.prepare.SAVED_EVERY", 1)
    calls: list[int] = []

    def counted(fails_after: int) -> Any:
        class Counted:
            config = bert.config
            get_input_embeddings = bert.get_input_embeddings
            state_dict = bert.state_dict

            def eval(self) -> None:
                return None

            def __call__(self, **batch: Any) -> Any:
                if len(calls) == fails_after:
                    raise KeyboardInterrupt
                calls.append(len(batch["input_ids"]))
                return bert(**batch)

        return Counted()

    def run(fails_after: int = -1) -> Texts:
        return prepare(TOLD, counted(fails_after), tokenizer, tmp_path, StateOptions(16, 20))

    with pytest.raises(KeyboardInterrupt):
        run(2)
    np.testing.assert_allclose(run().vectors, documents.vectors, atol=1e-5)
    assert sum(calls) == len(TOLD)
    np.testing.assert_allclose(run().vectors, documents.vectors, atol=1e-5)
    assert sum(calls) == len(TOLD)
    with pytest.raises(KeyboardInterrupt):
        prepare(TOLD[:2], counted(len(calls)), tokenizer, tmp_path, StateOptions(16, 20))


def test_negatives_are_the_best_of_the_teacher_without_what_is_known(
    parts: tuple[Any, Any, Texts, Texts],
) -> None:
    known = [*PAIRS, (ASKED[0], TOLD[4])]
    df = np.asarray((parts[3].counts > 0).sum(axis=0)).ravel()
    rarity = inverse_document_frequency(df, len(TOLD)).astype(np.float32)
    taught = teach(parts[2], parts[3], known, rarity, TEACHER, negatives=3)
    for row, (query, text) in enumerate(known):
        asked = np.full(len(TOLD), ASKED.index(query))
        scores = taught.score(asked, np.arange(len(TOLD)))
        own = scores[TOLD.index(text)]
        scores[[TOLD.index(t) for q, t in known if q == query]] = -np.inf
        assert taught.rank[row] == 1 + (scores > own).sum()
        np.testing.assert_allclose(
            np.sort(scores[taught.negatives[row]]), np.sort(scores)[-3:], rtol=1e-5
        )


def test_ndcg_is_that_of_the_definition_and_ties_keep_their_order() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    relevant = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=bool)
    np.testing.assert_allclose(ndcg(scores, relevant), [1.0, 1 / np.log2(3), 0.0])
    unequal = np.array([[3.0, 2.0, -np.inf]])
    assert ndcg(unequal, np.array([[False, True, True]]))[0] == (1 / np.log2(3)) / (
        1 + 1 / np.log2(3)
    )


def test_summed_scores_run_from_0_to_1_in_each_row() -> None:
    first, second = np.array([[2.0, 4.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 7.0]])
    np.testing.assert_array_equal(summed(first), [[0.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(summed(first, second), [[1.0, 1.0], [1.0, 2.0]])


def written(folder: Path, name: str, pairs: list[tuple[str, str]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
        for query, positive in pairs:
            file.write(json.dumps({"query": query, "positive": positive}) + "\n")


def test_drawn_pairs_are_apart_from_the_held_out_ones(tmp_path: Path) -> None:
    text = "The {} of the {} is told here in eight words or more. Then it ends."
    many = [(f"q{i % 40}", text.format(i, i * i)) for i in range(200)]
    written(tmp_path, "a", [*many, ("", "no query at all"), ("no document", " ")])
    sources = [Source("a", 60, 50), Source("a", 20, 20, reverse=True)]
    settings = {"held_out_share": 0.2, "held_out_queries": 7, "held_out_documents": 9, "repeats": 2}
    drawn = draw_pairs(tmp_path, sources, seed=3, **settings)  # type: ignore[arg-type]
    assert drawn == draw_pairs(tmp_path, sources, seed=3, **settings)  # type: ignore[arg-type]
    held = [pair for pairs in drawn.held_out.values() for pair in pairs]
    assert all(is_held_out(p, 0.2) for _, p in held)
    assert not any(is_held_out(p, 0.2) for _, p in drawn.train)
    assert not {q for q, _ in held} & {q for q, _ in drawn.train}
    forward = [q for q, p in drawn.train if p.startswith("The")]
    assert max(forward.count(q) for q in forward) <= 2
    assert {q for q, p in drawn.train if p.startswith("q")} <= {
        f"The {i} of the {i * i} is told here in eight words or more." for i in range(200)
    }
    with pytest.raises(UsageError, match=r"b\.jsonl\.gz does not exist"):
        draw_pairs(tmp_path, [Source("b", 1, 1)], seed=0, **settings)  # type: ignore[arg-type]


def small(pipeline: ModuleType, **stage: Any) -> dict[str, Any]:
    one = pipeline.CONFIGURED["stages"][0] | {
        "steps": 4, "batch": 2, "hard": 3, "negatives": 2, "warmup": 1,
    } | stage  # fmt: skip
    held = {"share": 0.3, "queries": 9, "documents": 9, "tokens": 16, "candidates": 20}
    return pipeline.CONFIGURED | {
        "sources": [{"name": "made", "pairs": 99, "documents": 99}],
        "held_out": held, "query_tokens": 16, "document_tokens": 16, "query_candidates": 20,
        "document_candidates": 20, "mined": 4, "stages": [one], "checkpoint_steps": 2,
        "logging_steps": 1, "start": pipeline.CONFIGURED["start"] | {"bias": 0.5},
        "released_shifts": [0.0, 0.1], "seeds": [1, 2],
    }  # fmt: skip


@pytest.fixture
def made(
    pipeline: ModuleType, tiny_dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    from hybrid.encoders.models.locate import ModelFolder

    folder = ModelFolder("made", tiny_dense, None, "made", None)
    monkeypatch.setattr(pipeline, "model_folder", lambda spec: folder)
    monkeypatch.setattr("builtin_training.held_out.DOCUMENT_TERMS", 12)
    monkeypatch.setattr("builtin_training.held_out.QUERY_TERMS", 6)
    (tmp_path / "pairs").mkdir()
    words = " ".join(TOLD).split()
    pairs = [(" ".join(words[i : i + 2]), " ".join(words[i : i + 9])) for i in range(30)]
    written(tmp_path / "pairs", "made", [(f"{q} {p}", p) for q, p in [*PAIRS, *pairs]])
    return tmp_path


@pytest.mark.parametrize("layers", [0, 1])
def test_a_run_that_was_interrupted_ships_the_same_weights(
    layers: int, pipeline: ModuleType, made: Path, tiny_dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {r"layers\.": 1e-3} if layers else {}
    stage = pipeline.CONFIGURED["stages"][0]
    config = small(pipeline, learning_rates=stage["learning_rates"] | rates)
    config["layers"] = layers
    pipeline.main(made / "pairs", made / "whole", config)

    class Stopped(Exception):
        pass

    measure = HeldOut.measure

    def stops(self: HeldOut, *args: Any) -> Any:
        found = measure(self, *args)
        if (made / "cut" / "seed-2-stage-0" / "checkpoint-2" / "trained.safetensors").exists():
            raise Stopped
        return found

    with monkeypatch.context() as patched:
        patched.setattr(HeldOut, "measure", stops)
        with pytest.raises(Stopped):
            pipeline.main(made / "pairs", made / "cut", config)
    pipeline.main(made / "pairs", made / "cut", config)
    records = [
        json.loads((made / run / "release" / "splade.json").read_text()) for run in ("whole", "cut")
    ]
    assert records[0]["sha256"] == records[1]["sha256"]
    lines = [json.loads(line) for line in (made / "cut" / "train_builtin.log").open()]
    steps = [row["event"] for row in lines if "loss" in row]
    assert steps == ["step 1", "step 2", "step 3", "step 4"] * 2

    write_splade(tiny_dense, made / "cut" / "release" / "splade.safetensors", made / "model")
    encoder = load_sparse(str(made / "model"))
    assert encoder.encode_documents(["merge sorted lists"]).shape == (1, len(encoder.vocabulary))


def test_training_moves_the_head_and_never_the_decoder(pipeline: ModuleType, made: Path) -> None:
    from safetensors.torch import load_file

    config = small(pipeline)
    pipeline.main(made / "pairs", made / "work", config, prepare_only=True)
    assert not (made / "work" / "release").exists()
    pipeline.main(made / "pairs", made / "work", config, seed=2)
    alone = load_file(made / "work" / "seed-2.safetensors")
    pipeline.main(made / "pairs", made / "work", config)
    first = load_file(made / "work" / "seed-1.safetensors")
    assert not torch.equal(first["head.bias"], alone["head.bias"])
    shipped = load_file(made / "work" / "release" / "splade.safetensors")
    assert "head.decoder" not in shipped
    assert float(shipped["head.scale"].float().std()) > 0
    assert shipped["static.weight"].min() >= 0
