"""Train builtin:splade and builtin:splade-doc from all-MiniLM-L6-v2 and pairs of texts.

    python pipelines/train_builtin.py PAIRS WORK

PAIRS holds NAME.jsonl.gz with {"query", "positive"} a line, as named in train_builtin.json; WORK is
made. It takes about two hours on two cores: the frozen layers run once over every text, then the
head alone is trained on the stored states (a stage with "layers": 1 trains the last layer with it).
The teacher is the sum of BM25 over wordpieces and MiniLM's cosine, which is better than either.
Every tenth document is held out, and all choices were made by ranking these; no evaluation
collection is read.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
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
from transformers import AutoModel, AutoTokenizer

from hybrid.encoders.from_dense import MASKED_BIAS, meaningless_terms
from hybrid.encoders.models import model_folder
from hybrid.training.losses import BothQueriesLoss, WeightedSum
from hybrid.training.prepare import Texts, prepare
from hybrid.training.states import CandidateHead, StateStore, StoredStates

CONFIG = Path(__file__).with_suffix(".json")


@dataclass
class Mined:
    """Queries and documents with their teacher: BM25 impacts and MiniLM's vectors."""

    queries: Texts
    documents: Texts
    positive: NDArray[np.int64]
    impacts: csr_matrix
    counts: csr_matrix
    idf: NDArray[np.float32]
    negatives: NDArray[np.int64]
    rank: NDArray[np.int64]
    weights: dict[str, float]

    def score(self, queries: NDArray[np.int64], documents: NDArray[np.int64]) -> Any:
        """Return the teacher's score of every (query, document) pair."""
        dense = (self.queries.vectors[queries] * self.documents.vectors[documents]).sum(axis=1)
        lexical = self.counts[queries].multiply(self.impacts[documents]).sum(axis=1)
        return self.weights["dense"] * dense + self.weights["bm25"] * np.asarray(lexical).ravel()


def read_pairs(folder: Path, config: dict[str, Any]) -> tuple[list[str], list[str], Any]:
    """Return queries, distinct documents, and the document of each query."""
    drawn, rows = random.Random(config["pair_seed"]), []
    for name, count in config["pairs"].items():
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            pairs = [json.loads(line) for line in lines]
        drawn.shuffle(pairs)
        good = [row for row in pairs if row["query"].strip() and len(row["positive"]) >= 40]
        rows += [(row["query"], row["positive"]) for row in good[:count]]
    drawn.shuffle(rows)
    documents = {text: place for place, text in enumerate(dict.fromkeys(p for _, p in rows))}
    return [q for q, _ in rows], list(documents), np.array([documents[p] for _, p in rows])


def mine(queries: Texts, documents: Texts, positive: Any, config: dict[str, Any]) -> Mined:
    """Return the examples with hard negatives: what the teacher ranks highest."""
    teacher = config["teacher"]
    counts, lengths = documents.counts, np.asarray(documents.counts.sum(axis=1)).ravel()
    size, frequency = counts.shape[0], np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log1p((size - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
    norm = teacher["k1"] * (1 - teacher["b"] + teacher["b"] * lengths / lengths.mean())
    impacts = counts.copy()
    tf = counts.data
    impacts.data = (idf[counts.indices] * tf / (tf + norm.repeat(np.diff(counts.indptr)))).astype(
        np.float32
    )
    asked = queries.counts.copy()
    asked.data = np.minimum(asked.data, 2)
    negatives = np.zeros((len(positive), config["mined"]), dtype=np.int64)
    rank = np.zeros(len(positive), dtype=np.int64)
    for start in range(0, len(positive), 512):
        part = slice(start, start + 512)
        scores = (asked[part] @ impacts.T).toarray() * teacher["bm25"]
        scores += queries.vectors[part] @ documents.vectors.T * teacher["dense"]
        own = positive[part]
        rows = np.arange(len(own))
        rank[part] = (scores > scores[rows, own][:, None]).sum(axis=1) + 1
        scores[rows, own] = -np.inf
        best = np.argpartition(-scores, config["mined"], axis=1)[:, : config["mined"]]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        negatives[part] = np.take_along_axis(best, order, axis=1)
    return Mined(
        queries, documents, positive, impacts, asked, idf, negatives, rank, config["teacher"]
    )


def starting_head(bert: Any, tokenizer: Any, idf: Any, start: dict[str, Any]) -> Any:
    """Return the head before training, and the weights of inference-free queries: both from idf."""
    embeddings = bert.get_input_embeddings().weight.detach()
    head = CandidateHead(embeddings.shape[1], embeddings.shape[0])
    meaning = torch.ones(len(embeddings), dtype=torch.bool)
    meaning[meaningless_terms(tokenizer.get_vocab())] = False
    rare = torch.from_numpy(idf)
    with torch.no_grad():
        head.decoder.copy_(embeddings)
        head.scale.fill_(start["scale"])
        head.bias.copy_(torch.where(meaning, start["bias"], MASKED_BIAS))
        head.literal.copy_(start["literal"][0] + start["literal"][1] * rare)
        head.repeat.fill_(start["repeat"])
        free = torch.nn.functional.softplus(start["static"][0] + start["static"][1] * rare)
    return head, torch.where(meaning, free, 0.0)


def dataset(mined: Mined, stage: dict[str, Any], train: Any) -> Dataset:
    """Return rows of a query, its document, hard negatives and the teacher's scores."""
    drawn = np.random.default_rng(stage["seed"])
    rounds = -(-stage["steps"] * stage["batch"] // len(train))
    rows = np.concatenate([drawn.permutation(train) for _ in range(rounds)])
    rows = rows[: stage["steps"] * stage["batch"]]
    places = np.tile(np.arange(stage["hard"]), (len(rows), 1))
    places = drawn.permuted(places, axis=1)[:, : stage["negatives"]]
    given = np.column_stack([mined.positive[rows], mined.negatives[rows[:, None], places]])
    scores = np.stack([mined.score(rows, column) for column in given.T], axis=1)
    names = ["positive", *(f"negative_{i + 1}" for i in range(stage["negatives"]))]
    columns = {"query": [mined.queries.texts[i] for i in rows]}
    for name, column in zip(names, given.T, strict=True):
        columns[name] = [mined.documents.texts[i] for i in column]
    return Dataset.from_dict(columns | {"label": scores.astype(np.float32).tolist()})


def train_stage(
    mined: Mined, stage: dict[str, Any], bert: Any, tokenizer: Any, head: Any, free: Any, work: Path
) -> Any:
    """Train one stage in place; return the weights of inference-free queries."""
    deep = bool(stage["layers"])
    layers = torch.nn.ModuleList(bert.encoder.layer[-1:] if deep else [])
    stores = [
        StateStore(
            {text: row for row, text in enumerate(texts.texts)},
            texts.offsets,
            texts.ids,
            texts.before if deep else texts.after,
            texts.candidates,
        )
        for texts in (mined.queries, mined.documents)
    ]
    shift_bias(head, stage["shift"])
    model = SparseEncoder(modules=[StoredStates(stores, layers, tokenizer), head], device="cpu")
    static = SparseStaticEmbedding(tokenizer, weight=free, frozen=False)
    warm = stage["temperature"]
    inner = WeightedSum(
        [
            SparseDistillKLDivLoss(model, student_temperature=warm, teacher_temperature=1.0),
            SparseMultipleNegativesRankingLoss(model, scale=1 / warm),
        ],
        [stage["divergence"] / warm**2, stage["ranking"]],
    )
    loss = BothQueriesLoss(
        model,
        inner,
        static=static,
        static_weight=stage["static"],
        document_regularizer_weight=stage["document_weight"],
        query_regularizer_weight=stage["query_weight"],
        document_regularizer_threshold=stage["document_threshold"],
        query_regularizer_threshold=stage["query_threshold"],
    )
    held = mined.positive % CONFIGURED["held_out_every"] == 0
    train = np.flatnonzero(~held & (mined.rank <= CONFIGURED["deepest_rank"]))
    arguments = SparseEncoderTrainingArguments(
        output_dir=str(work / stage["name"]),
        max_steps=stage["steps"],
        per_device_train_batch_size=stage["batch"],
        learning_rate=stage["learning_rate"],
        learning_rate_mapping=stage["learning_rates"],
        weight_decay=0.0,
        warmup_steps=stage["warmup"],
        max_grad_norm=5.0,
        logging_steps=10,
        save_steps=90,
        save_total_limit=2,
        seed=stage["seed"],
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    schedule = SpladeRegularizerWeightSchedulerCallback(loss, "quadratic", 0.3)
    trainer = SparseEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset(mined, stage, train),
        loss=loss,
        callbacks=[schedule],
    )
    saved = sorted((work / stage["name"]).glob("checkpoint-*"), key=lambda p: p.stat().st_mtime)
    trainer.train(resume_from_checkpoint=str(saved[-1]) if saved else None)
    return static.weight.detach()


def shift_bias(head: Any, shift: float) -> None:
    """Add ``shift`` to the bias of every term that can be active: more of it, denser texts."""
    with torch.no_grad():
        head.bias[head.bias > MASKED_BIAS / 2] += shift


def export(head: Any, free: Any, bert: Any, path: Path) -> None:
    """Write what was trained as float16, and only that."""
    from safetensors.torch import save_file

    tensors = {f"head.{k}": v for k, v in head.state_dict().items() if k != "decoder"}
    last = len(bert.encoder.layer) - 1
    if any(stage["layers"] for stage in CONFIGURED["stages"]):
        trained = bert.encoder.layer[last].state_dict()
        tensors |= {f"layer.{last}.{k}": v for k, v in trained.items()}
    tensors["static.weight"] = free.clamp(min=0)
    save_file({k: v.half().contiguous() for k, v in tensors.items()}, str(path))


def main(pairs: Path, work: Path) -> None:
    """Run every stage; the weights are in ``work / "splade.safetensors"``."""
    work.mkdir(parents=True, exist_ok=True)
    folder = str(model_folder("builtin:minilm").path)
    bert = AutoModel.from_pretrained(folder, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    asked, told, positive = read_pairs(pairs, CONFIGURED)
    queries, documents = (
        prepare(
            texts,
            bert,
            tokenizer,
            work / name,
            tokens=CONFIGURED[f"{name}_tokens"],
            candidates=CONFIGURED[f"{name}_candidates"],
        )
        for name, texts in (("query", asked), ("document", told))
    )
    mined = mine(queries, documents, positive, CONFIGURED)
    head, free = starting_head(bert, tokenizer, mined.idf, CONFIGURED["start"])
    for stage in CONFIGURED["stages"]:
        torch.manual_seed(stage["seed"])
        free = train_stage(mined, stage, bert, tokenizer, head, free, work)
    shift_bias(head, CONFIGURED["released_shift"])
    export(head, free, bert, work / "splade.safetensors")


CONFIGURED = json.loads(CONFIG.read_text(encoding="utf-8"))

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
