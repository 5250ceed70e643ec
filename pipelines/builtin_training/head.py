"""Training a SPLADE head on stored states: one stage, its checkpoints and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sentence_transformers import (
    SparseEncoder,
    SparseEncoderTrainer,
    SparseEncoderTrainingArguments,
)
from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
    SpladeRegularizerWeightSchedulerCallback,
)
from sentence_transformers.sparse_encoder.losses import (
    SparseDistillKLDivLoss,
    SparseMultipleNegativesRankingLoss,
)
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
from transformers import PrinterCallback, TrainerCallback

from builtin_training.losses import BothQueriesLoss
from builtin_training.teaching import Taught
from hybrid.encoders.models.from_dense import MASKED_BIAS, meaningless_terms
from hybrid.training.losses import WeightedSum
from hybrid.training.states import CandidateHead, StoredStates, Trained, store_of

TRAINED = "trained.safetensors"
SCHEDULE = 0.3
"""Share of the steps over which the regularisers grow to their weight."""


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        shift: added to every bias before.
        negatives: a query brings this many of its ``hard`` hardest ones.
        static: weight of the loss with looked-up queries.
        learning_rates: by pattern of the parameter's name; the last that fits counts.
    """

    seed: int
    shift: float
    steps: int
    batch: int
    negatives: int
    hard: int
    warmup: int
    temperature: float
    divergence: float
    ranking: float
    static: float
    document_weight: float
    query_weight: float
    document_threshold: int
    query_threshold: int
    learning_rate: float
    learning_rates: Mapping[str, float] = field(default_factory=dict)


def starting_point(
    bert: Any, tokenizer: Any, rarity: NDArray[np.float32], start: Mapping[str, Any], layers: int
) -> Trained:
    """Return a head and looked-up weights that are functions of idf.

    Args:
        bert, tokenizer: the backbone.
        rarity: idf of every term.
        start: scale, bias, repeat; ``literal`` and ``static`` as [a, b], a + b idf.
        layers: of the backbone that are trained too.
    """
    embeddings = bert.get_input_embeddings().weight.detach()
    head = CandidateHead(embeddings.shape[1], embeddings.shape[0])
    meaning = torch.ones(len(embeddings), dtype=torch.bool)
    meaning[meaningless_terms(tokenizer.get_vocab())] = False
    rare = torch.from_numpy(rarity)
    with torch.no_grad():
        head.decoder.copy_(embeddings)
        head.scale.fill_(start["scale"])
        head.bias.copy_(torch.where(meaning, start["bias"], MASKED_BIAS))
        head.literal.copy_(start["literal"][0] + start["literal"][1] * rare)
        head.repeat.fill_(start["repeat"])
        free = torch.nn.functional.softplus(start["static"][0] + start["static"][1] * rare)
    last = bert.encoder.layer[len(bert.encoder.layer) - layers :] if layers else []
    return Trained(head, torch.where(meaning, free, 0.0), torch.nn.ModuleList(last))


def shift_bias(head: CandidateHead, shift: float) -> None:
    """Add ``shift`` to the bias of every term that can be active: more of it, denser texts."""
    with torch.no_grad():
        head.bias[head.bias > MASKED_BIAS / 2] += shift


@dataclass(frozen=True)
class StageRun:
    """Where a stage keeps its checkpoints, and whom it tells how it goes.

    Attributes:
        work: folder of the checkpoints.
        checkpoint_steps, logging_steps: between two of them.
        report: called with a step and figures: the parts of the loss, and those of ``measure`` at
            every checkpoint.
        measure: called with the weights so far.
    """

    work: Path
    checkpoint_steps: int
    logging_steps: int
    report: Callable[[int, Mapping[str, Any]], None]
    measure: Callable[[Trained], Mapping[str, Any]]


def train_stage(
    taught: Taught,
    rows: NDArray[np.int64],
    stage: Stage,
    trained: Trained,
    tokenizer: Any,
    run: StageRun,
) -> Trained:
    """Return ``trained`` after a stage; it goes on from the last checkpoint of ``run``.

    Args:
        taught: pairs, negatives and teacher.
        rows: the pairs that are trained on.
        stage: losses and optimiser.
        trained: where to start; its head is trained in place.
        tokenizer: of the backbone.
        run: checkpoints and reports.
    """
    deep = bool(len(trained.layers))
    stores = [store_of(texts, before=deep) for texts in (taught.queries, taught.documents)]
    backbone: Any = StoredStates(stores, trained.layers, tokenizer)
    model = SparseEncoder(modules=[backbone, trained.head], device="cpu")
    static = SparseStaticEmbedding(tokenizer, weight=trained.free.clone(), frozen=False)

    def now() -> Trained:
        return Trained(trained.head, static.weight.detach().clone(), trained.layers)

    shift_bias(trained.head, stage.shift)
    loss = _loss(model, static, stage)
    trainer = StageTrainer(
        model=model,
        args=_arguments(stage, run),
        train_dataset=rows_of(taught, rows, stage),
        loss=loss,
        callbacks=[
            SpladeRegularizerWeightSchedulerCallback(loss, "quadratic", SCHEDULE),
            _Report(run.report, lambda: run.measure(now())),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    saved = sorted(run.work.glob(f"checkpoint-*/{TRAINED}"), key=lambda p: int(p.parent.name[11:]))
    trainer.train(resume_from_checkpoint=str(saved[-1].parent) if saved else None)
    return now()


def _loss(model: Any, static: Any, stage: Stage) -> BothQueriesLoss:
    """Return the loss of a stage: KL and ranking, for encoded and for looked-up queries."""
    warm = stage.temperature
    inner = WeightedSum(
        [
            SparseDistillKLDivLoss(model, student_temperature=warm, teacher_temperature=1.0),
            SparseMultipleNegativesRankingLoss(model, scale=1 / warm),
        ],
        [stage.divergence / warm**2, stage.ranking],
    )
    return BothQueriesLoss(
        model,
        inner,
        static=static,
        static_weight=stage.static,
        document_regularizer_weight=stage.document_weight,
        query_regularizer_weight=stage.query_weight,
        document_regularizer_threshold=stage.document_threshold,
        query_regularizer_threshold=stage.query_threshold,
    )


def _arguments(stage: Stage, run: StageRun) -> SparseEncoderTrainingArguments:
    return SparseEncoderTrainingArguments(
        output_dir=str(run.work),
        max_steps=stage.steps,
        per_device_train_batch_size=stage.batch,
        learning_rate=stage.learning_rate,
        learning_rate_mapping=dict(stage.learning_rates),
        weight_decay=0.0,
        warmup_steps=stage.warmup,
        max_grad_norm=5.0,
        logging_steps=run.logging_steps,
        save_steps=run.checkpoint_steps,
        save_total_limit=2,
        seed=stage.seed,
        data_seed=stage.seed,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )


def rows_of(taught: Taught, rows: NDArray[np.int64], stage: Stage) -> Dataset:
    """Return a query, its document, hard negatives and the teacher's scores for every step."""
    drawn = np.random.default_rng(stage.seed)
    wanted = stage.steps * stage.batch
    rounds = -(-wanted // len(rows))
    rows = np.concatenate([drawn.permutation(rows) for _ in range(rounds)])[:wanted]
    places = np.tile(np.arange(stage.hard), (len(rows), 1))
    places = drawn.permuted(places, axis=1)[:, : stage.negatives]
    query, positive = taught.pairs[rows].T
    given = np.column_stack([positive, taught.negatives[rows[:, None], places]])
    scores = np.stack([taught.score(query, column) for column in given.T], axis=1)
    names = ["positive", *(f"negative_{i + 1}" for i in range(stage.negatives))]
    columns = {"query": [taught.queries.texts[i] for i in query]}
    for name, column in zip(names, given.T, strict=True):
        columns[name] = [taught.documents.texts[i] for i in column]
    return Dataset.from_dict(columns | {"label": scores.astype(np.float32).tolist()})


class StageTrainer(SparseEncoderTrainer):  # type: ignore[misc]
    """The trainer, whose checkpoints hold the trained weights and no stored state."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.detach().clone() for name, value in self._parameters()},
            str(folder / TRAINED),
        )

    def _load_from_checkpoint(self, checkpoint_path: str, model: Any = None) -> None:
        saved = load_file(str(Path(checkpoint_path) / TRAINED))
        with torch.no_grad():
            for name, value in self._parameters():
                value.copy_(saved[name])

    def _parameters(self) -> list[tuple[str, torch.Tensor]]:
        return list(self.loss.named_parameters())


class _Report(TrainerCallback):  # type: ignore[misc]
    """Passes on the parts of the loss, and figures at every checkpoint."""

    def __init__(
        self,
        report: Callable[[int, Mapping[str, Any]], None],
        measure: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._report, self._measure = report, measure

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Pass on the numbers of a log entry."""
        if logs and "loss" in logs:
            self._report(state.global_step, {k: float(v) for k, v in logs.items()})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure and pass on."""
        self._report(state.global_step, self._measure())
