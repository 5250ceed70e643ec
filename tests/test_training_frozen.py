from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hybrid.encoders.models.by_name import load_sparse
from hybrid.encoders.models.from_dense import write_splade, write_splade_doc
from hybrid.errors import UsageError
from hybrid.training import train
from hybrid.training.start import starting_model
from hybrid.training.trainer import last_checkpoint
from tests.test_splade_head import made_weights
from tests.test_training import made_examples, made_options


@pytest.fixture(scope="module")
def tiny_head(tiny_dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SPLADE head over the tiny dense encoder, as builtin:splade is one over MiniLM."""
    folder = tmp_path_factory.mktemp("tiny_head")
    write_splade(tiny_dense, made_weights(folder, tiny_dense, layer=False), folder / "model")
    return folder / "model"


def tensors(model: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(model).parent}/{name}": value
        for path in model.rglob("*.safetensors")
        for name, value in load_file(path).items()
    }


def changed(before: Path, after: Path) -> set[str]:
    old, new = tensors(before), tensors(after)
    assert old.keys() == new.keys()
    return {name for name in old if not torch.equal(old[name], new[name])}


@pytest.mark.parametrize("layers", [0, 1, None])
def test_a_head_is_fine_tuned_alone_with_a_layer_or_as_a_whole(
    layers: int | None, tiny_head: Path, tmp_path: Path
) -> None:
    options = made_options(tiny_head, layers=layers, recipe="ensemble-distil", held_out=2)
    report = train(made_examples(), tmp_path / "out", options)
    assert [found.step for found in report.measured] == [0, 2]
    names = changed(tiny_head, report.model)
    assert any(name.endswith("/bias") for name in names)
    assert not any("decoder" in name for name in names)
    moved = {name.split("layer.")[1].split(".")[0] for name in names if "layer." in name}
    assert moved == {0: set(), 1: {"1"}, None: {"0", "1"}}[layers]
    assert load_sparse(str(report.model)).encode_queries(["parse json"]).nnz > 0


def test_a_student_gives_what_the_whole_model_gives(tiny_head: Path, tmp_path: Path) -> None:
    from hybrid.training.frozen import Student

    texts = [row.positive for row in made_examples()]
    for layers in (0, 1):
        whole = starting_model(made_options(tiny_head))
        expected = whole.encode_document(texts, convert_to_sparse_tensor=False).numpy()
        student = Student(whole, layers, made_examples(), tmp_path / str(layers), 32).model.eval()
        found = student.encode_document(texts, convert_to_sparse_tensor=False).numpy()
        np.testing.assert_allclose(found, expected, atol=5e-3)  # the states are float16


@pytest.mark.parametrize("layers", [0, 1, None])
def test_a_resumed_fine_tuning_equals_an_uninterrupted_one(
    layers: int | None, tiny_head: Path, tmp_path: Path
) -> None:
    rows = made_examples()
    options = made_options(tiny_head, steps=4, checkpoint_steps=2, layers=layers)
    expected = train(rows, tmp_path / "whole", options)
    broken = tmp_path / "broken"
    assert train(rows, broken, options, stop_after=3).steps == 3
    kept = last_checkpoint(broken)
    assert kept is not None
    assert kept.name == "checkpoint-2"
    resumed = train(rows, broken, options)
    assert changed(expected.model, resumed.model) == set()


def test_layers_of_a_masked_language_model(tiny_sparse: Path, tmp_path: Path) -> None:
    report = train(made_examples(), tmp_path / "out", made_options(tiny_sparse, layers=1))
    names = changed(tiny_sparse, report.model)
    moved = {name.split("layer.")[1].split(".")[0] for name in names if "layer." in name}
    assert moved == {"1"}
    with pytest.raises(UsageError, match="has 2"):
        train(made_examples(), tmp_path / "x", made_options(tiny_sparse, layers=3))
    with pytest.raises(UsageError, match="0 or more"):
        made_options(tiny_sparse, layers=-1)


def test_inference_free_queries_are_fine_tuned_too(tiny_dense: Path, tmp_path: Path) -> None:
    weights = made_weights(tmp_path, tiny_dense, layer=False)
    write_splade_doc(tiny_dense, weights, tmp_path / "doc")
    options = made_options(tmp_path / "doc", recipe="doc-only", layers=0)
    names = changed(tmp_path / "doc", train(made_examples(), tmp_path / "out", options).model)
    assert not any("layer." in name for name in names)
    assert any(name.endswith("/bias") for name in names)


def test_checkpoints_of_another_run_are_not_continued(tiny_head: Path, tmp_path: Path) -> None:
    options = made_options(tiny_head, steps=4, checkpoint_steps=2)
    train(made_examples(), tmp_path / "out", options, stop_after=2)
    with pytest.raises(UsageError, match=r"learning_rate was 0\.001.*another output folder"):
        train(made_examples(), tmp_path / "out", replace(options, learning_rate=1.0))


def test_a_checkpoint_cut_short_is_passed_over(tmp_path: Path) -> None:
    for step, whole in ((2, True), (10, True), (12, False)):
        folder = tmp_path / "work" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    found: Any = last_checkpoint(tmp_path)
    assert found.name == "checkpoint-10"
    assert last_checkpoint(tmp_path / "absent") is None


def test_words_without_a_weight_are_counted_and_raise_an_alarm(
    tiny_sparse: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SparseEncoder

    from hybrid.training.callbacks import measure

    model = SparseEncoder(str(tiny_sparse), device="cpu")
    rows = made_examples()
    with torch.no_grad():
        decoder = model[0].model.get_output_embeddings()
        decoder.weight.zero_()
        decoder.bias.fill_(-1.0)
        decoder.bias[model.tokenizer.convert_tokens_to_ids("json")] = 1.0
    found = measure(model, rows, 32, 0)
    texts = {text for row in rows for text in (row.positive, *row.negatives)}
    known = set(model.tokenizer.get_vocab())
    words = [set(text.split()) & known for text in texts]
    assert found.document_terms == found.query_terms == 1
    lost = 1 - sum("json" in text for text in words) / sum(map(len, words))
    assert found.literal_lost == pytest.approx(lost)
    assert found.few_queries == 1
    kinds = {alarm.split(":")[0] for alarm in found.alarms}
    assert kinds == {"too sparse", "terms lost"}


@pytest.mark.parametrize("layers", [0, None])
def test_a_model_keeps_its_own_length(layers: int | None, tiny_head: Path, tmp_path: Path) -> None:
    options = made_options(tiny_head, layers=layers, max_length=16)
    report = train(made_examples(), tmp_path / "out", options)
    own = load_sparse(str(tiny_head)).fingerprint["max_length"]
    assert load_sparse(str(report.model)).fingerprint["max_length"] == own != 16
