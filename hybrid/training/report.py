"""Figures of a training run, while it runs and at its end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hybrid.encoders.density import FEW_TERMS
from hybrid.encoders.models.fetched import PREFIX
from hybrid.training.options import TrainOptions
from hybrid.version import __version__

REPORT, CARD = "train.json", "README.md"
PACKAGES = ("torch", "transformers", "sentence-transformers", "datasets")


@dataclass(frozen=True)
class Logged:
    """Losses and densities of the training batches at a logged step.

    Attributes:
        step: optimiser steps done.
        losses: the parts of the loss by name, means since the last logged step.
        document_terms, query_terms: mean non-zeros in the last batch.
        flops: expected products of one query with one document, in the last batch.
        alarms: those that were not raised before.
    """

    step: int
    losses: Mapping[str, float]
    document_terms: float
    query_terms: float
    flops: float
    alarms: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        return f"step {self.step}: {parts}; {_densities(self)}"


@dataclass(frozen=True)
class Measured:
    """Held-out figures after some steps; see `hybrid.encoders.density`.

    Attributes:
        step: optimiser steps done.
        ndcg: nDCG@10 of the held-out queries among their own passages and negatives.
        document_terms, query_terms: mean non-zeros.
        flops: expected products of one query with one document.
        few_queries: share of queries with fewer than three terms.
        literal_lost: share of the words of the documents that have no weight.
        alarms: what is wrong, and what to do.
    """

    step: int
    ndcg: float
    document_terms: float
    query_terms: float
    flops: float
    few_queries: float
    literal_lost: float
    alarms: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"step {self.step}: dev nDCG@10 {self.ndcg:.4f}; {_densities(self)}, "
            f"{self.few_queries:.0%} of the queries under {FEW_TERMS} terms, "
            f"{self.literal_lost:.0%} of the words lost"
        )


@dataclass(frozen=True)
class TrainReport:
    """The result of a training run.

    Attributes:
        model: the folder of the trained model.
        steps: optimiser steps done, those before an interruption too.
        examples: used for training.
        losses: per logged step its number and the parts of the loss by name.
        measured: on the held-out examples, before training and at every checkpoint.
    """

    model: Path
    steps: int
    examples: int
    losses: tuple[dict[str, float], ...]
    measured: tuple[Measured, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return asdict(self) | {"model": str(self.model)}


def save_report(
    output: Path, options: TrainOptions, report: TrainReport, source: str | None
) -> None:
    """Write the report beside the model: the options, the versions, what was measured.

    Args:
        output: the folder of the run.
        options: of the run.
        report: what it made.
        source: where the examples came from; None where they were handed over.
    """
    saved = {
        "config": {"output": str(output)} | options.to_dict(),
        "origin": {"source": source, "split": options.split},
        "versions": {name: version(name) for name in PACKAGES},
        "report": report.to_dict(),
    }
    (output / REPORT).write_text(json.dumps(saved, indent=1), encoding="utf-8")


def model_card(options: TrainOptions, report: TrainReport, source: str | None, model: Any) -> str:
    """Return the card of a trained model, Markdown: origin, figures, and how it is loaded.

    Folders are named by their last part, so that a card tells nothing of the machine.
    """
    from hybrid.encoders.models.plain import needs_package

    start, data = (
        Path(each).name if os.path.exists(each) else each
        for each in (options.model, source or "examples that were handed over")
    )
    hub = start == options.model and not start.startswith(PREFIX)
    name, recipe = report.model.parent.name, options.settings
    used = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: feature-extraction",
        "tags: [sparse-encoder, splade]",
        *([f"base_model: {start}"] if hub else []),
        "---",
        f"# {name}",
        "",
        f"A learned sparse encoder, trained from {start} with hybrid-retrieval {__version__}.",
        "",
        f"- **Recipe**: {recipe.name}, {recipe.description}",
        f"- **Data**: {data}, {report.examples:,} examples, {report.steps:,} steps of "
        f"{options.batch_size * options.accumulation} queries, seed {options.seed}",
        *([f"- **Teachers**: {', '.join(options.teachers)}"] if options.teachers else []),
        *(f"- **Held out**, {each}" for each in report.measured[-1:]),
        "",
        "## Use",
        "",
        f"    hybrid build SOURCE -o INDEX --sparse {name}/model",
        "",
        *(_OWN if needs_package(model) else _PLAIN),
    ]
    return "\n".join(used) + "\n"


_PLAIN = (
    "sentence-transformers loads it by itself:",
    "",
    "    from sentence_transformers import SparseEncoder",
    '    SparseEncoder("FOLDER").encode_document(["a heap queue"])',
)
_OWN = (
    "Its head is a module of hybrid-retrieval, so sentence-transformers loads it only where that",
    "is installed, by `SparseEncoder(FOLDER, trust_remote_code=True)`. This writes a form that",
    "needs neither; what words gain by standing in the text is left out of it, so measure it anew:",
    "",
    "    hybrid models export FOLDER PLAIN --plain",
)


def _densities(found: Logged | Measured) -> str:
    return (
        f"{found.document_terms:.0f} terms a document, {found.query_terms:.0f} a query, "
        f"FLOPS {found.flops:.2f}"
    )
