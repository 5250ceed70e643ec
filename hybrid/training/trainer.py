"""Training: a configuration and examples in, a sentence-transformers SparseEncoder folder out."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybrid.errors import OutputExistsError, UsageError, require
from hybrid.machine.files import make_folders, refusals
from hybrid.machine.outputs import write_folder
from hybrid.training.examples import Example, split_examples
from hybrid.training.recipes import TrainConfig
from hybrid.training.report import Logged, Measured, TrainReport, save_report

MODEL, WORK, CONFIG = "model", "work", "config.json"
STATE = "trainer_state.json"
PLACES = ("output", "states")
RISE = 1 / 3
"""The share of the steps in which the regularisers rise to their full weight."""


def train(
    config: TrainConfig,
    examples: Sequence[Example],
    *,
    progress: Callable[[int], None] | None = None,
    watch: Callable[[Logged | Measured], None] | None = None,
    origin: Mapping[str, Any] | None = None,
    stop_after: int | None = None,
) -> TrainReport:
    """Return the report of a training run; the model is in ``config.output / "model"``.

    A run that was interrupted goes on from its last checkpoint when it is called again with the
    same configuration and examples.

    Args:
        config: checked; saved with the result.
        examples: all with teacher scores where the recipe needs them.
        progress: called with the number of newly finished steps.
        watch: called with the parts of the loss and the densities of every logged step, and with
            what was measured on the held-out examples.
        origin: where the examples came from; saved with the result.
        stop_after: interrupt the run at this step, as a kill would, at the checkpoint before it.

    Raises:
        UsageError: too few examples, or none with what the recipe needs; or the folder holds
            checkpoints of another configuration.
        OutputExistsError: ``config.output`` holds a finished model.
        StorageError: ``config.output`` cannot be written; nothing was trained.
        MissingPackageError: datasets or accelerate are not installed.
    """
    require("datasets", extra="train", purpose="training")
    require("accelerate", extra="train", purpose="training")
    from hybrid.training.callbacks import Log
    from hybrid.training.losses import splade_loss

    final = config.output / MODEL
    if final.exists():
        raise OutputExistsError(f"{final} exists; give another output folder")
    kept, dev = split_examples(examples, config.held_out, seed=config.seed)
    width = _checked_width(config, kept)
    checkpoint = last_checkpoint(config.output)
    _check_same(config, checkpoint)
    student = _student(config, [*kept, *dev])
    loss = splade_loss(student.model, config)
    steps = step_count(config, len(kept))
    log = Log(
        student.model,
        loss,
        dev,
        max_length=config.max_length,
        settled=math.ceil(RISE * steps),
        progress=progress,
        watch=watch,
        stop_after=stop_after,
    )
    dataset = _dataset(config, kept, width)
    trainer = _trainer(config, student.model, loss, dataset, log, steps, width)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    done = int(trainer.state.global_step)
    report = TrainReport(
        final, done, len(kept), tuple(log.losses(trainer.state.log_history)), tuple(log.measured)
    )
    if stop_after is not None and done <= stop_after < steps:
        return report
    model = student.finished()
    model.max_seq_length = getattr(model, "length_in_use", model.max_seq_length)
    write_folder(final, lambda target: model.save(str(target), create_model_card=False))
    save_report(config, report, origin or {})
    return report


def last_checkpoint(output: Path) -> Path | None:
    """Return the folder of the last whole checkpoint of a run, None where there is none."""
    found = [path for path in (output / WORK).glob("checkpoint-*") if (path / STATE).is_file()]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def step_count(config: TrainConfig, examples: int) -> int:
    """Return the optimiser steps of a run over ``examples`` training examples."""
    if config.steps:
        return config.steps
    rows = examples // config.batch_size
    return max(1, round(config.epochs * rows / config.accumulation))


class _Whole:
    """A model that is trained as it is."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def finished(self) -> Any:
        return self.model


def _student(config: TrainConfig, examples: Sequence[Example]) -> Any:
    from hybrid.training.frozen import Student, can_store, freeze
    from hybrid.training.start import starting_model

    model = starting_model(config)
    if config.layers is None:
        return _Whole(model)
    if can_store(model, config.layers):
        folder = config.states or config.output / WORK / "states"
        return Student(model, config.layers, examples, folder, config.max_length)
    freeze(model, config.layers)
    return _Whole(model)


def _check_same(config: TrainConfig, checkpoint: Path | None) -> None:
    """Refuse to go on from a run of another configuration; write down this one."""
    path = config.output / WORK / CONFIG
    ours = {name: value for name, value in config.to_dict().items() if name not in PLACES}
    if checkpoint is not None and path.is_file():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in ours if ours[name] != theirs.get(name)]
        if other:
            shown = ", ".join(f"{name} was {theirs.get(name)!r}" for name in other[:3])
            raise UsageError(
                f"{config.output} holds checkpoints of another run: {shown}. Give the same options "
                "to go on, or another output folder"
            )
    with refusals(config.output):
        make_folders(path.parent)
        path.write_text(json.dumps(ours, indent=1), encoding="utf-8")


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
    config: TrainConfig, model: Any, loss: Any, dataset: Any, log: Any, steps: int, width: int
) -> Any:
    from sentence_transformers import SparseEncoderTrainer, SparseEncoderTrainingArguments
    from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
        SpladeRegularizerWeightSchedulerCallback,
    )
    from transformers import PrinterCallback

    from hybrid.training.start import learning_rates

    arguments = SparseEncoderTrainingArguments(
        output_dir=str(config.output / WORK),
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        learning_rate_mapping=learning_rates(model, config),
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
    model.model_card_data.generate_widget_examples = False
    model.model_card_data.widget = [{}]  # no examples are computed where there are some
    trainer = SparseEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=loss,
        callbacks=[SpladeRegularizerWeightSchedulerCallback(loss, "quadratic", RISE), log],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


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
