"""sentence-transformers: its evaluators give our figures, and ours scores a model in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sparse_encoder.evaluation import SparseInformationRetrievalEvaluator

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document
from hybrid.encoders import load_sparse
from hybrid.errors import UsageError
from hybrid.evaluate import evaluate
from hybrid.fusion.run import Run
from hybrid.integrations.frameworks.sentence_transformers import HybridEvaluator
from hybrid.search.index import Index, open_index
from tests.conftest import DOCUMENTS, QUERIES
from tests.doors.conftest import FUSION, MADE
from tests.made_encoders import HashDense

pytestmark = pytest.mark.doors
TEXTS = {query_id: text for query_id, (text, _) in QUERIES.items()}
JUDGED = {query_id: judged for query_id, (_, judged) in QUERIES.items()}
RELEVANT = {q: {d for d, grade in judged.items() if grade > 0} for q, judged in JUDGED.items()}
BINARY = {query_id: dict.fromkeys(found, 1) for query_id, found in RELEVANT.items()}
CORPUS = {d: f"{title} {text}".strip() for d, (title, text) in DOCUMENTS.items()}
NAMES = {
    "ndcg@10": "nDCG@10",
    "mrr@10": "RR@10",
    "map@100": "AP@100",
    "precision@5": "P@5",
    "recall@5": "R@5",
    "accuracy@3": "Success@3",
}


@pytest.fixture(scope="module")
def splade() -> Any:
    return load_sparse("builtin:splade", device="cpu")


def agree(theirs: dict[str, float], run: Run) -> None:
    ours = evaluate(run, BINARY, list(NAMES.values()))
    found = {
        measure: next(value for key, value in theirs.items() if key.endswith(name))
        for name, measure in NAMES.items()
    }
    assert found == pytest.approx({measure: ours[measure] for measure in found}, abs=1e-9)
    assert 0 < found["nDCG@10"] < 1


def test_their_measures_of_our_run_are_ours(made_index: Index) -> None:
    run = made_index.search(TEXTS, 100, fusion=FUSION)
    evaluator = InformationRetrievalEvaluator(TEXTS, CORPUS, RELEVANT)
    hits = [
        [{"corpus_id": d, "score": -rank} for rank, d in enumerate(run.doc_ids(q))]
        for q in evaluator.queries_ids
    ]
    theirs = evaluator.compute_metrics(hits)
    agree({f"{key[:-1]}{k}": v for key, each in theirs.items() for k, v in each.items()}, run)


class Dense(torch.nn.Module):
    """The vectors of HashDense, asked for as sentence-transformers asks."""

    similarity_fn_name = "dot"

    def encode_query(self, texts: list[str], **_: Any) -> torch.Tensor:
        return torch.from_numpy(HashDense().encode_queries(texts))

    def encode_document(self, texts: list[str], **_: Any) -> torch.Tensor:
        return torch.from_numpy(HashDense().encode_documents(texts))

    def similarity(self, queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        return queries @ documents.T


def test_dense_evaluator_agrees(made_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = InformationRetrievalEvaluator(TEXTS, CORPUS, RELEVANT, write_csv=False)
    monkeypatch.setattr(evaluator, "store_metrics_in_model_card_data", lambda *_: None)
    agree(evaluator(Dense()), made_index.search(TEXTS, 100, fusion="dense"))


def test_sparse_evaluator_agrees(splade: Any, tmp_path: Path) -> None:
    evaluator = SparseInformationRetrievalEvaluator(TEXTS, CORPUS, RELEVANT, write_csv=False)
    documents = [Document(d, text, title) for d, (title, text) in DOCUMENTS.items()]
    options = BuildOptions(weights="float32")
    build_index(documents, tmp_path / "index", options, encoders={"sparse": splade})
    with open_index(tmp_path / "index", encoders={"sparse": splade}) as index:
        found = index.search(TEXTS, 100).to_dict()
    # There, a document without a common term has score 0 and follows by ascending id; here, it is
    # not retrieved.
    rest = {q: sorted(CORPUS.keys() - scores.keys()) for q, scores in found.items()}
    assert any(rest.values())
    whole = {
        q: scores | {d: -1.0 - place for place, d in enumerate(rest[q])}
        for q, scores in found.items()
    }
    agree(evaluator(splade.model), Run.from_dict(whole))


def test_a_model_is_scored_in_the_place_of_a_branch(
    made_index: Index, splade: Any, tmp_path: Path
) -> None:
    branches, generation = made_index.branches, made_index.contents.generation.name
    splade.model.train()
    evaluator = HybridEvaluator(made_index, TEXTS, JUDGED, name="dev", fusion=FUSION)
    figures = evaluator(splade.model)
    assert splade.model.training
    splade.model.eval()
    assert set(figures) == {
        f"dev_{system}_{measure}"
        for system in ("sparse", "fused")
        for measure in ("nDCG@10", "R@100")
    }
    assert evaluator.primary_metric == "dev_fused_nDCG@10"
    given = {"sparse": splade, "dense": MADE["dense"]}
    build_index(
        [Document(d, text, title) for d, (title, text) in DOCUMENTS.items()],
        tmp_path / "index",
        encoders={**MADE, **given},
    )
    with open_index(tmp_path / "index", encoders=given) as index:
        for system, fusion in (("sparse", "sparse"), ("fused", FUSION)):
            expected = evaluate(index.search(TEXTS, 1000, fusion=fusion), JUDGED, "nDCG@10")
            assert figures[f"dev_{system}_nDCG@10"] == pytest.approx(expected["nDCG@10"], abs=1e-9)
    assert (made_index.branches, made_index.contents.generation.name) == (branches, generation)


def test_a_trainer_calls_the_evaluator(made_index: Index, splade: Any, tmp_path: Path) -> None:
    from datasets import Dataset
    from sentence_transformers import SparseEncoderTrainer, SparseEncoderTrainingArguments

    trainer = SparseEncoderTrainer(
        model=splade.model,
        args=SparseEncoderTrainingArguments(str(tmp_path), report_to=[], use_cpu=True),
        train_dataset=Dataset.from_dict({"query": ["a"], "positive": ["b"]}),
        evaluator=HybridEvaluator(made_index, TEXTS, JUDGED),
    )
    assert 0 < trainer.evaluate()["eval_fused_nDCG@10"] <= 1


def test_an_unknown_branch_is_refused(made_index: Index) -> None:
    with pytest.raises(UsageError, match="no branch 'splade'"):
        HybridEvaluator(made_index, TEXTS, JUDGED, branch="splade")
