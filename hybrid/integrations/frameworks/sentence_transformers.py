"""HybridEvaluator: a model in training, scored in the place of a branch of an index.

SparseEncoderTrainer(..., evaluator=HybridEvaluator(index, queries, qrels))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sentence_transformers import SparseEncoder
from sentence_transformers.base.evaluation.evaluator import BaseEvaluator

from hybrid.build.rebuild import RebuildOptions, rebuild_branches
from hybrid.build.records import BM25
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.models.loading import EncoderOptions
from hybrid.encoders.models.locate import ModelFolder
from hybrid.encoders.splade import SpladeEncoder
from hybrid.errors import UsageError
from hybrid.evaluate import evaluate, parse_measures
from hybrid.index.transfer import snapshot_index
from hybrid.search.index import Index, open_index


class HybridEvaluator(BaseEvaluator):
    """Scores a model as a branch of an index: alone, and fused with the other branches.

    Each call encodes the documents of the index by the model, into a copy that is thrown away.

    Args:
        index: an opened index; it stays as it is.
        queries: texts by id.
        qrels: ``{query_id: {doc_id: grade}}``.
        branch: whose place the model takes.
        measures: names of measures, as `hybrid.evaluate` takes them; the first of the fused run
            is the one by which a trainer keeps its best model.
        name: put before the names of the figures.
        **options: keywords of `Index.search` for the fused run.

    Raises:
        UsageError: a branch that the index does not have, or a name that is no measure.
    """

    def __init__(
        self,
        index: Index,
        queries: Mapping[str, str],
        qrels: Mapping[str, Mapping[str, int]],
        branch: str = "sparse",
        measures: str | Sequence[str] = ("nDCG@10", "R@100"),
        name: str = "",
        **options: Any,
    ) -> None:
        super().__init__()
        if branch not in index.branches:
            raise UsageError(
                f"the index has no branch {branch!r}; it has {', '.join(index.branches)}"
            )
        self.index, self.branch, self.name, self.options = index, branch, name, options
        self.queries = {query_id: text for query_id, text in queries.items() if query_id in qrels}
        self.qrels, self.measures = qrels, [str(each) for each in parse_measures(measures)]
        self.primary_metric = f"fused_{self.measures[0]}"

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the figures, ``sparse_nDCG@10`` of the branch and ``fused_nDCG@10``."""
        training = model.training
        model.eval()
        try:
            found = self._figures(encoder_of(model))
        finally:
            model.train(training)
        figures: dict[str, float] = self.prefix_name_to_metrics(found, self.name)
        self.store_metrics_in_model_card_data(model, figures, epoch, steps)
        return figures

    def _figures(self, encoder: SpladeEncoder | TransformerEncoder) -> dict[str, float]:
        others = {
            name: self.index.encoder(name)
            for name in self.index.branches
            if name != self.branch and self.index.contents.record(name).encoder["model"] != BM25
        }
        given = {self.branch: encoder}
        with TemporaryDirectory(prefix="hybrid-evaluator-") as folder:
            copy = Path(folder) / "index"
            snapshot_index(self.index.directory, copy)
            rebuild_branches(copy, [self.branch], RebuildOptions(cache=False), encoders=given)
            with open_index(copy, encoders={**others, **given}) as index:
                runs = {
                    self.branch: index.search(self.queries, 1000, fusion=self.branch),
                    "fused": index.search(self.queries, 1000, **self.options),
                }
                return {
                    f"{system}_{measure}": value
                    for system, run in runs.items()
                    for measure, value in evaluate(
                        run, self.qrels, self.measures
                    ).aggregates.items()
                }


def encoder_of(model: Any) -> SpladeEncoder | TransformerEncoder:
    """Return a loaded SparseEncoder or SentenceTransformer as an encoder of a branch."""
    kind = SpladeEncoder if isinstance(model, SparseEncoder) else TransformerEncoder
    folder = ModelFolder("a model in training", Path(), None, None, None)
    return kind(model, folder, EncoderOptions())
