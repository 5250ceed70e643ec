"""Losses, saturation, pooling and regulariser against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hybrid.training import TrainOptions
from hybrid.training.losses import WatchedFlops, splade_loss
from hybrid.training.recipes import RECIPES, Recipe

QUERIES = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
POSITIVES = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
NEGATIVES = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
SCORES = torch.tensor([[5.0, 1.0], [2.0, 1.5]])
EMBEDDINGS = [QUERIES, POSITIVES, NEGATIVES]


class Model(torch.nn.Module):
    """Stands in for an encoder: losses over given embeddings ask for its similarity alone."""

    similarity_fn_name = "dot"

    def similarity(self, a: Any, b: Any) -> Any:
        return a @ b.T

    def similarity_pairwise(self, a: Any, b: Any) -> Any:
        return (a * b).sum(-1)


def made_loss(monkeypatch: pytest.MonkeyPatch, name: str, temperature: float = 1.0) -> Any:
    recipe = Recipe("one", ((name, 1.0),), 0.5, 0.25, "shared", "a loss alone")  # type: ignore[arg-type]
    monkeypatch.setitem(RECIPES, "one", recipe)
    options = TrainOptions("m", recipe="one", temperature=temperature)
    return splade_loss(Model(), options)


def parts(loss: Any, labels: Any = None) -> float:
    found = loss.loss.compute_loss_from_embeddings(EMBEDDINGS, labels)
    return float(found if torch.is_tensor(found) else sum(found.values()))


def test_flops_is_the_sum_of_squared_mean_weights() -> None:
    flops = WatchedFlops(Model())
    rows = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    assert float(flops.compute_loss_from_embeddings(rows)) == 2.0**2 + 0.0**2 + 1.0**2
    assert flops.counts.tolist() == [2, 1]
    assert flops.shares.tolist() == [1.0, 0.0, 0.5]


def test_ranking_is_the_cross_entropy_over_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = QUERIES @ torch.cat([POSITIVES, NEGATIVES]).T / 2.0
    expected = float((scores.logsumexp(1) - scores[[0, 1], [0, 1]]).mean())
    assert parts(made_loss(monkeypatch, "ranking", 2.0)) == pytest.approx(expected)


def test_margin_is_the_squared_error_of_margins(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = [4.0 - 1.0, 3.0 - 0.0]
    theirs = [5.0 - 1.0, 2.0 - 1.5]
    expected = np.mean([(a - b) ** 2 for a, b in zip(ours, theirs, strict=True)])
    assert parts(made_loss(monkeypatch, "margin"), SCORES) == pytest.approx(expected)


def test_divergence_is_that_of_the_distributions_times_the_squared_temperature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temperature = 2.0
    student = torch.tensor([[4.0, 1.0], [3.0, 0.0]]) / temperature
    log_p, q = student.log_softmax(1), SCORES.softmax(1)
    expected = float((q * (q.log() - log_p)).sum(1).mean())
    found = parts(made_loss(monkeypatch, "divergence", temperature), SCORES)
    assert found == pytest.approx(expected * temperature**2)


def test_the_regularisers_have_their_own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = made_loss(monkeypatch, "ranking")
    assert (loss.document_regularizer_weight, loss.query_regularizer_weight) == (0.5, 0.25)
    options = TrainOptions("m", recipe="one", document_weight=0.0, query_weight=2.0)
    given = splade_loss(Model(), options)
    assert (given.document_regularizer_weight, given.query_regularizer_weight) == (0.0, 2.0)
    static = splade_loss(Model(), replace(options, recipe="doc-only"))
    assert static.query_regularizer_weight is None


def test_regularisers_rise_with_the_square_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
        SpladeRegularizerWeightSchedulerCallback,
    )
    from transformers import TrainerControl, TrainerState, TrainingArguments

    loss = made_loss(monkeypatch, "ranking")
    rise = SpladeRegularizerWeightSchedulerCallback(loss, "quadratic", 1 / 3)
    state: Any = TrainerState(max_steps=30)
    control = TrainerControl()
    arguments = TrainingArguments(output_dir="unused", use_cpu=True)
    rise.on_train_begin(arguments, state, control)
    seen = []
    for step in (0, 5, 10, 20):
        state.global_step = step
        rise.on_step_begin(arguments, state, control)
        seen.append(loss.document_regularizer_weight)
    assert seen == pytest.approx([0.0, 0.5 * (5 / 10) ** 2, 0.5, 0.5])


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_saturation_and_pooling_pass_over_padding(pooling: Any) -> None:
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    logits = torch.tensor([[[1.0, -2.0], [3.0, 0.5], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    features = {"token_embeddings": logits, "attention_mask": mask}
    found = SpladePooling(pooling)(features)["sentence_embedding"][0].tolist()
    first, second = [np.log(2.0), np.log(4.0)], [0.0, np.log(1.5)]
    joined = {"max": max, "sum": sum}[pooling]
    assert found == pytest.approx([joined(first), joined(second)])
