"""Training: options and examples in, a sentence-transformers SparseEncoder folder out."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hybrid.errors import OutputExistsError, UsageError, given, path_of, require
from hybrid.machine.files import make_folders, refusals
from hybrid.machine.outputs import write_folder
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.training.examples import Example, read_examples, split_examples
from hybrid.training.options import TrainOptions
from hybrid.training.report import CARD, Logged, Measured, TrainReport, model_card, save_report
from hybrid.training.supervision import supervised

MODEL, WORK, CONFIG = "model", "work", "config.json"
STATE = "trainer_state.json"
UNASKED = ("cache", "states", "report_to")
"""Options that may differ between a run and its checkpoint."""


def train(
    source: str | Path | Sequence[Example],
    output: str | Path,
    options: TrainOptions | None = None,
    *,
    progress: StartProgress = no_progress,
    watch: Callable[[Logged | Measured], None] | None = None,
    stop_after: int | None = None,
) -> TrainReport:
    """Return the report of a training run; the model is in ``output / "model"``.

    A run that was interrupted goes on from its last checkpoint when it is called again with the
    same options and examples.

    Args:
        source: the examples, or where :func:`~hybrid.training.examples.read_examples` finds them.
        output: the folder of the model, its checkpoints and its log.
        options: of supervision, model, loss and optimiser; saved with the result.
        progress: shows how far it is.
        watch: called with the parts of the loss and the densities of every logged step, and with
            the figures of the held-out examples.
        stop_after: interrupt the run at this step, as a kill would, at the checkpoint before it.

    Raises:
        CorpusError: the examples cannot be read.
        UsageError: too few examples, or none with what the recipe needs; or the folder holds
            checkpoints of other options.
        OutputExistsError: ``output`` holds a finished model.
        StorageError: ``output`` cannot be written; nothing was trained.
        MissingPackageError: datasets or accelerate are not installed.
    """
    require("datasets", extra="train", purpose="training")
    require("accelerate", extra="train", purpose="training")
    from hybrid.training.callbacks import Log, measure
    from hybrid.training.losses import splade_loss

    options, output = options or TrainOptions(), path_of("the output", output)
    trackers = _trackers(options.report_to)
    final = output / MODEL
    if final.exists():
        raise OutputExistsError(f"{final} exists; give another output folder")
    spec = str(source) if isinstance(source, str | Path) else None
    examples = _examples(source, output, options)
    kept, dev = split_examples(examples, options.held_out, seed=options.seed)
    dataset = _dataset(options, kept)
    checkpoint = _checkpoint_of(options, output)
    student = _student(options, output, [*kept, *dev])
    loss = splade_loss(student.model, options)
    steps = step_count(options, len(kept))
    held_out = partial(measure, student.model, dev, options.max_length) if dev else None
    log = Log(loss, held_out, progress("training", steps), watch, stop_after)
    trainer = _trainer(options, output, student.model, loss, dataset, [log, *trackers])
    trainer.train(resume_from_checkpoint=checkpoint)
    done = int(trainer.state.global_step)
    losses = tuple(log.losses(trainer.state.log_history))
    report = TrainReport(final, done, len(kept), losses, tuple(log.measured))
    if stop_after is None or not done <= stop_after < steps:
        _write(student.finished(), final, lambda model: model_card(options, report, spec, model))
        save_report(output, options, report, spec)
    return report


def _examples(
    source: str | Path | Sequence[Example], output: Path, options: TrainOptions
) -> list[Example]:
    """Return the examples, read where they are not handed over, with negatives and scores."""
    if isinstance(source, str | Path):
        examples: Sequence[Example] = read_examples(source, split=options.split)
    else:
        examples = source
    if not isinstance(examples, Sequence) or not all(isinstance(e, Example) for e in examples):
        raise UsageError(f"for examples, {given(source)} was given; give a path, or Examples")
    return supervised(examples, options, options.cache or output / "cache")


def _write(model: Any, folder: Path, card: Callable[[Any], str]) -> None:
    """Write the trained model, with its own length where it has one, and its card."""
    model.max_seq_length = getattr(model, "length_in_use", model.max_seq_length)

    def write(target: Path) -> None:
        model.save(str(target), create_model_card=False)
        (target / CARD).write_text(card(model), encoding="utf-8")

    write_folder(folder, write)


def last_checkpoint(output: Path) -> Path | None:
    """Return the folder of the last whole checkpoint of a run, None where there is none."""
    found = [path for path in (output / WORK).glob("checkpoint-*") if (path / STATE).is_file()]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def step_count(options: TrainOptions, examples: int) -> int:
    """Return the optimiser steps of a run over ``examples`` training examples."""
    if options.steps:
        return options.steps
    rows = examples // options.batch_size
    return max(1, round(options.epochs * rows / options.accumulation))


class _Whole:
    """A model that is trained as it is."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def finished(self) -> Any:
        return self.model


def _student(options: TrainOptions, output: Path, examples: Sequence[Example]) -> Any:
    from hybrid.training.frozen import Student, can_store, freeze
    from hybrid.training.start import starting_model

    model = starting_model(options)
    if options.layers is None:
        return _Whole(model)
    if can_store(model, options.layers):
        folder = options.states or output / WORK / "states"
        return Student(model, options.layers, examples, folder, options.max_length)
    freeze(model, options.layers)
    return _Whole(model)


def _checkpoint_of(options: TrainOptions, output: Path) -> str | None:
    """Return the checkpoint to go on from, None without; the options are written down.

    Raises:
        UsageError: the checkpoint is of other options.
    """
    checkpoint, path = last_checkpoint(output), output / WORK / CONFIG
    asked = {name: value for name, value in options.to_dict().items() if name not in UNASKED}
    text = json.dumps(asked, indent=1)
    if checkpoint is not None and path.is_file():
        ours, theirs = json.loads(text), json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in ours if ours[name] != theirs.get(name, ours[name])]
        if other:
            shown = ", ".join(f"{name} was {theirs[name]!r}" for name in other[:3])
            raise UsageError(
                f"{output} holds checkpoints of another run: {shown}. Give the same options to go "
                "on, or another output folder"
            )
    with refusals(output):
        make_folders(path.parent)
        path.write_text(text, encoding="utf-8")
    return None if checkpoint is None else str(checkpoint)


def _checked_width(options: TrainOptions, examples: Sequence[Example]) -> int:
    """Return how many negatives every example brings."""
    if len(examples) < options.batch_size:
        raise UsageError(
            f"{len(examples)} training examples are fewer than a batch of {options.batch_size}; "
            "give more, or a smaller batch_size"
        )
    width = min(options.negatives, min(len(example.negatives) for example in examples))
    unscored = width < 1 or any(not example.scores for example in examples)
    if options.settings.needs_scores and unscored:
        raise UsageError(
            f"the recipe {options.recipe} learns from a teacher: every example needs negatives and "
            "scores; mine and score them first, or use splade-max"
        )
    return width


def _trainer(
    options: TrainOptions, output: Path, model: Any, loss: Any, dataset: Any, callbacks: list[Any]
) -> Any:
    """Return the trainer of sentence-transformers for one run."""
    from sentence_transformers import SparseEncoderTrainer, SparseEncoderTrainingArguments
    from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
        SpladeRegularizerWeightSchedulerCallback,
    )
    from transformers import PrinterCallback

    from hybrid.training.callbacks import RISE
    from hybrid.training.start import learning_rates

    steps = step_count(options, len(dataset))
    routed = options.settings.queries != "shared"
    arguments = SparseEncoderTrainingArguments(
        output_dir=str(output / WORK),
        max_steps=steps,
        per_device_train_batch_size=options.batch_size,
        gradient_accumulation_steps=options.accumulation,
        learning_rate=options.learning_rate,
        learning_rate_mapping=learning_rates(model, options),
        warmup_steps=math.ceil(options.warmup * steps),
        weight_decay=0.01,
        bf16=options.bf16,
        seed=options.seed,
        data_seed=options.seed,
        logging_steps=max(1, min(10, steps // 10)),
        save_strategy="steps",
        save_steps=options.checkpoint_steps,
        save_total_limit=2,
        dataloader_drop_last=True,
        router_mapping=_routes(dataset.column_names) if routed else {},
        report_to=[],
        disable_tqdm=True,
        use_cpu=options.device == "cpu",
    )
    model.model_card_data.generate_widget_examples = False
    model.model_card_data.widget = [{}]  # no examples are computed where there are some
    trainer = SparseEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=loss,
        callbacks=[
            SpladeRegularizerWeightSchedulerCallback(loss, "quadratic", RISE),
            *callbacks,
        ],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _trackers(names: Sequence[str]) -> list[Any]:
    """Return the callbacks of transformers that report to trackers.

    Raises:
        UsageError: a tracker that transformers does not know, or one that is not installed.
    """
    from transformers.integrations import get_reporting_integration_callbacks

    try:
        return [callback() for callback in get_reporting_integration_callbacks(list(names))]
    except (ValueError, RuntimeError, ImportError) as error:
        raise UsageError(f"report_to is {', '.join(names)}: {error}") from error


def _dataset(options: TrainOptions, examples: Sequence[Example]) -> Any:
    """Return query, positive, drawn negatives and, where the recipe asks for them, scores."""
    from datasets import Dataset

    width = _checked_width(options, examples)
    drawn = random.Random(options.seed)
    columns: dict[str, list[Any]] = {"query": [], "positive": []}
    columns |= {f"negative_{i + 1}": [] for i in range(width)}
    labels = []
    for example in examples:
        picked = drawn.sample(range(len(example.negatives)), width)
        columns["query"].append(example.query)
        columns["positive"].append(example.positive)
        for place, negative in enumerate(picked):
            columns[f"negative_{place + 1}"].append(example.negatives[negative])
        if options.settings.needs_scores:
            labels.append([example.scores[0], *(example.scores[1 + i] for i in picked)])
    if options.settings.needs_scores:
        columns["label"] = labels
    return Dataset.from_dict(columns)


def _routes(columns: Sequence[str]) -> dict[str, str]:
    texts = {name: "document" for name in columns if name != "label"}
    return texts | {"query": "query"}
