"""Training: a configuration and examples in, a sentence-transformers SparseEncoder folder out."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hybrid.encoders.cache import write_folder
from hybrid.errors import OutputExistsError, UsageError, require
from hybrid.training.config import TrainConfig
from hybrid.training.examples import Example, split_examples

MODEL, WORK, REPORT = "model", "work", "train.json"
PACKAGES = ("torch", "transformers", "sentence-transformers", "datasets")


@dataclass(frozen=True)
class Measured:
    """Held-out figures after some steps; see :mod:`hybrid.training.alarms` for the densities."""

    step: int
    ndcg: float
    document_terms: float
    query_terms: float
    flops: float
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class TrainReport:
    """What a training run made.

    Attributes:
        model: the folder of the trained model.
        steps: optimiser steps done, those before an interruption too.
        examples: used for training.
        losses: per logged step its number and the parts of the loss by name.
        measured: on the held-out examples, at every checkpoint.
    """

    model: Path
    steps: int
    examples: int
    losses: tuple[dict[str, float], ...]
    measured: tuple[Measured, ...]


def train(
    config: TrainConfig,
    examples: Sequence[Example],
    *,
    progress: Callable[[int], None] | None = None,
    stop_after: int | None = None,
) -> TrainReport:
    """Return the report of a training run; the model is in ``config.output / "model"``.

    A run that was interrupted goes on from its last checkpoint when it is called again with the
    same configuration and examples.

    Args:
        config: checked; saved with the result.
        examples: all with teacher scores where the recipe needs them.
        progress: called with the number of newly finished steps.
        stop_after: interrupt the run at this step, as a kill would, at the checkpoint before it.

    Raises:
        UsageError: too few examples, or none with what the recipe needs.
        OutputExistsError: ``config.output`` holds a finished model.
        MissingPackageError: datasets or accelerate are not installed.
    """
    require("datasets", extra="train", purpose="training")
    require("accelerate", extra="train", purpose="training")
    final = config.output / MODEL
    if final.exists():
        raise OutputExistsError(f"{final} exists; give another output folder")
    kept, dev = split_examples(examples, config.held_out, seed=config.seed)
    width = _checked_width(config, kept)
    trainer, log = _trainer(config, kept, dev, width, progress, stop_after)
    trainer.train(resume_from_checkpoint=_last_checkpoint(config))
    steps = int(trainer.state.global_step)
    report = TrainReport(
        final, steps, len(kept), tuple(log.losses(trainer.state.log_history)), tuple(log.measured)
    )
    if stop_after is not None and steps <= stop_after < _steps(config, len(kept)):
        return report
    write_folder(final, lambda target: trainer.model.save(str(target), create_model_card=False))
    _save_report(config, report)
    return report


def _checked_width(config: TrainConfig, examples: Sequence[Example]) -> int:
    """Return how many negatives every example brings."""
    if len(examples) < config.batch_size:
        raise UsageError(
            f"{len(examples)} training examples are fewer than a batch of {config.batch_size}; "
            "give more, or a smaller batch_size"
        )
    width = min(config.negatives, min(len(example.negatives) for example in examples))
    unscored = width < 1 or any(not example.scores for example in examples)
    if config.settings.needs_scores and unscored:
        raise UsageError(
            f"the recipe {config.recipe} learns from a teacher: every example needs negatives and "
            "scores; mine and score them first, or use splade-max"
        )
    return width


def _trainer(
    config: TrainConfig,
    examples: Sequence[Example],
    dev: Sequence[Example],
    width: int,
    progress: Callable[[int], None] | None,
    stop_after: int | None,
) -> tuple[Any, Any]:
    from sentence_transformers import SparseEncoderTrainer, SparseEncoderTrainingArguments
    from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
        SpladeRegularizerWeightSchedulerCallback,
    )

    from hybrid.training.callbacks import Log
    from hybrid.training.losses import splade_loss
    from hybrid.training.start import starting_model

    model = starting_model(config)
    loss = splade_loss(model, config)
    log = Log(model, dev, progress, stop_after)
    steps = _steps(config, len(examples))
    static = config.settings.queries == "static"
    arguments = SparseEncoderTrainingArguments(
        output_dir=str(config.output / WORK),
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        learning_rate_mapping={r"query\.0\.weight$": 1e-3} if static else {},
        warmup_steps=math.ceil(config.warmup * steps),
        weight_decay=0.01,
        bf16=config.bf16,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=max(1, min(10, steps // 10)),
        save_strategy="steps",
        save_steps=config.checkpoint_steps,
        save_total_limit=2,
        dataloader_drop_last=True,
        router_mapping=_routes(width) if config.settings.queries != "shared" else {},
        report_to=[],
        disable_tqdm=True,
        use_cpu=config.device == "cpu",
    )
    trainer = SparseEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(config, examples, width),
        loss=loss,
        callbacks=[SpladeRegularizerWeightSchedulerCallback(loss, "quadratic", 1 / 3), log],
    )
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    return trainer, log


def _dataset(config: TrainConfig, examples: Sequence[Example], width: int) -> Any:
    from datasets import Dataset

    drawn = random.Random(config.seed)
    columns: dict[str, list[Any]] = {"query": [], "positive": []}
    columns |= {f"negative_{i + 1}": [] for i in range(width)}
    labels = []
    for example in examples:
        picked = drawn.sample(range(len(example.negatives)), width)
        columns["query"].append(example.query)
        columns["positive"].append(example.positive)
        for place, negative in enumerate(picked):
            columns[f"negative_{place + 1}"].append(example.negatives[negative])
        if config.settings.needs_scores:
            labels.append([example.scores[0], *(example.scores[1 + i] for i in picked)])
    if config.settings.needs_scores:
        columns["label"] = labels
    return Dataset.from_dict(columns)


def _routes(width: int) -> dict[str, str]:
    documents = {f"negative_{i + 1}": "document" for i in range(width)}
    return {"query": "query", "positive": "document"} | documents


def _steps(config: TrainConfig, examples: int) -> int:
    if config.steps:
        return config.steps
    rows = examples // config.batch_size
    return max(1, round(config.epochs * rows / config.accumulation))


def _last_checkpoint(config: TrainConfig) -> str | None:
    found = sorted(
        (config.output / WORK).glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1])
    )
    return str(found[-1]) if found else None


def _save_report(config: TrainConfig, report: TrainReport) -> None:
    described = asdict(report) | {"model": str(report.model)}
    versions = {name: version(name) for name in PACKAGES}
    saved = {"config": config.to_dict(), "versions": versions, "report": described}
    (config.output / REPORT).write_text(json.dumps(saved, indent=1), encoding="utf-8")
