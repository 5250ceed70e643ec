"""Measure the built-in models on BEIR folders: alone, fused untuned, and fused by tuning.

    python pipelines/evaluate_builtin.py COLLECTION... --output FILE.json --work DIR --states DIR

Every figure comes from a real index of ``build_index`` (8-bit weights, flat vectors) and the pools
of its search. FILE.json gets everything, stdout the tables. A collection with a train split is
tuned there and measured on test; another one gets cross-validated figures, each query under a
fusion that was chosen without it. Nothing is chosen on a test query.

--states keeps the token states of the backbone, so that another head is measured without encoding
the collections again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from builtin_training.kept import KeptStates
from hybrid.build.create import build_index
from hybrid.corpus import Source, SourceOptions, open_source
from hybrid.encoders import Bm25Parameters, load_dense, load_sparse
from hybrid.encoders.mlm import route_modules
from hybrid.errors import OutputExistsError
from hybrid.evaluate import PoolOptions, compare_paired, evaluate, judge
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.pools import JudgedPool, judged_pool
from hybrid.fusion import cc, fuse, rank, rrf, single
from hybrid.machine.files import write_new
from hybrid.search.index import Index
from hybrid.tune import Space, TuneOptions
from hybrid.tune.folds import held_out_values
from hybrid.tune.search import Search

MEASURES = ("nDCG@10", "R@100")
TUNED = MEASURES[0]
BM25, SPLADE, DOC, DENSE = "bm25", "splade", "splade-doc", "dense"
REFERENCE = (BM25, DENSE)
SETS = (REFERENCE, (SPLADE, DENSE), (BM25, SPLADE), (BM25, SPLADE, DENSE))
UNTUNED = {"min-max .5": cc(norm="minmax"), "RRF 60": rrf(60)}
FOLDS, REPEATS = 5, 2


class LookedUp:
    """The documents of builtin:splade with the queries of builtin:splade-doc.

    The two have the same documents, so one index serves both.
    """

    def __init__(self, encoded: Any, looked_up: Any) -> None:
        self._encoded, self._looked_up = encoded, looked_up
        self.vocabulary, self.fingerprint = encoded.vocabulary, encoded.fingerprint

    def encode_documents(self, texts: Sequence[str], progress: Any = None) -> csr_matrix:
        """Return the weights of documents."""
        return self._encoded.encode_documents(texts, progress)

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        """Return the looked-up weights of queries."""
        return self._looked_up.encode_queries(texts)

    def literal_terms(self, text: str) -> frozenset[str]:
        """Return the terms of the vocabulary that stand in the text itself."""
        return self._encoded.literal_terms(text)


@dataclass(frozen=True)
class Models:
    """The encoders by branch, and the looked-up queries."""

    encoders: Mapping[str, Any]
    looked_up: LookedUp
    precision: str

    @classmethod
    def load(cls, precision: str, states: Path | None) -> Models:
        """Return the built-in models, their backbone's states kept in ``states``."""
        options: dict[str, Any] = {"dtype": precision, "device": "cpu"}
        splade = load_sparse("builtin:splade", **options)
        dense = load_dense("builtin:minilm", **options)
        if states is not None:
            kept = KeptStates(states, f"builtin:minilm {precision}", dense.dimension)
            kept.wrap(route_modules(splade.model, "document")[0])
            kept.wrap(dense.model[0])
        doc = LookedUp(splade, load_sparse("builtin:splade-doc", **options))
        encoders = {BM25: Bm25Parameters(), SPLADE: splade, DENSE: dense}
        return cls(encoders, doc, precision)


@dataclass(frozen=True)
class Judged:
    """The pools of one split, of encoded and of looked-up queries."""

    encoded: JudgedPool
    looked_up: JudgedPool

    def narrow(self, names: Sequence[str]) -> Any:
        """Return the pool of the branches ``names``, of which ``splade-doc`` may be one."""
        chosen = self.looked_up if DOC in names else self.encoded
        return chosen.pool.narrow([SPLADE if name == DOC else name for name in names])

    @property
    def qrels(self) -> Any:
        """The judgments."""
        return self.encoded.qrels


def branch_sets() -> list[tuple[str, ...]]:
    """Return the sets of two or more branches, with encoded and with looked-up queries."""
    looked_up = [tuple(DOC if name == SPLADE else name for name in names) for names in SETS]
    return list(dict.fromkeys([*SETS, *looked_up]))


def measured(pool: Any, qrels: Any, fusion: Any) -> dict[str, float]:
    """Return the measures of one fusion."""
    run = rank(pool, fuse(pool, fusion), pool.depth)
    return dict(evaluate(run, qrels, MEASURES).aggregates)


def systems(judged: Judged) -> dict[str, dict[str, float]]:
    """Return the measures of every branch alone and of every untuned fusion."""
    found = {}
    for name in (BM25, DENSE, SPLADE, DOC):
        pool = judged.narrow([name])
        found[name] = measured(pool, judged.qrels, single(pool.branches[0]))
    for names in branch_sets():
        pool = judged.narrow(names)
        for label, fusion in UNTUNED.items():
            found[f"{' + '.join(names)}, {label}"] = measured(pool, judged.qrels, fusion)
    return found


def values_of(pool: Any, qrels: Any, fusion: Any) -> NDArray[np.float64]:
    """Return the tuned measure of every judged query."""
    values: NDArray[np.float64] = Bench(judge(pool, qrels), TUNED).values(fusion)
    return values


def searched(judged: Judged, names: Sequence[str], trials: int) -> Search:
    """Return the search for a fusion of the branches ``names``."""
    options = TuneOptions(trials=trials, folds=FOLDS, repeats=REPEATS)
    pool = judged.narrow(names)
    return Search(Bench(judge(pool, judged.qrels), TUNED), Space.of(pool), options)


def tuned_on(train: Judged, test: Judged, trials: int) -> dict[str, Any]:
    """Return per set of branches the fusion chosen on ``train``, and its figures on ``test``."""
    rows: dict[str, Any] = {}
    values = {}
    for names in branch_sets():
        search = searched(train, names, trials)
        choice = search.choose(np.arange(len(search.bench.judged)))
        pool = test.narrow(names)
        key = " + ".join(names)
        values[key] = values_of(pool, test.qrels, choice.best)
        rows[key] = {
            "fusion": str(choice.best),
            "train": float(search.bench.values(choice.best).mean()),
            "test": float(values[key].mean()),
            "simplest": {
                "fusion": str(choice.fusion),
                "test": float(values_of(pool, test.qrels, choice.fusion).mean()),
            },
        }
    return differences(rows, values)


def cross_validated(judged: Judged, trials: int) -> dict[str, Any]:
    """Return per set of branches the mean under fusions that were chosen without the query."""
    rows, values = {}, {}
    for names in branch_sets():
        search = searched(judged, names, trials)
        key = " + ".join(names)
        values[key] = held_out_values(search)
        rows[key] = {"held out": float(values[key].mean())}
    return differences(rows, values)


def differences(rows: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``rows`` with their paired differences from BM25 and the dense model."""
    reference = values[" + ".join(REFERENCE)]
    for name, row in rows.items():
        if values[name] is not reference:
            row["difference"] = compare_paired(values[name], [reference])[0].to_dict()
    return rows


def measure_collection(folder: Path, models: Models, work: Path, trials: int) -> dict[str, Any]:
    """Return every figure of one collection; its index is made in ``work`` unless it is there."""
    source = open_source(folder, options=SourceOptions(skip_bad=True))
    weights = str(models.encoders[SPLADE].fingerprint["weights"])[:12]
    directory = work / f"{folder.name}-{weights}-{models.precision}"
    if not directory.exists():
        build_index(source, directory, encoders=models.encoders)
    queries = {name: encoder for name, encoder in models.encoders.items() if name != BM25}
    with (
        Index(directory, encoders=queries) as index,
        Index(directory, encoders=queries | {SPLADE: models.looked_up}) as other,
    ):

        def judged(split: str) -> Judged:
            views, options = (index.view(), other.view()), PoolOptions(split=split)
            return Judged(*(judged_pool(view, source, options) for view in views))

        test = judged("test")
        report = index.contents.record(SPLADE).report
        terms = {"document": report["nonzeros_per_document"]} | query_terms(source, models)
        found: dict[str, Any] = {
            "collection": folder.name,
            "documents": len(index),
            "queries": len(test.encoded.pool),
            "precision": models.precision,
            "weights": report["weights"],
            "terms": terms,
            "systems": systems(test),
        }
        if "train" in source.splits():
            found["tuned on train"] = tuned_on(judged("train"), test, trials)
        else:
            found["cross-validated"] = cross_validated(test, trials)
    return found


def query_terms(source: Source, models: Models) -> dict[str, float]:
    """Return the mean number of terms of the judged test queries, encoded and looked up."""
    qrels = source.qrels("test")
    texts = [query.text for query in source.queries("test") if query.query_id in qrels]
    encoders = {"query": models.encoders[SPLADE], "looked-up query": models.looked_up}
    return {
        name: round(encoder.encode_queries(texts).nnz / len(texts), 1)
        for name, encoder in encoders.items()
    }


def tables(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown."""
    found = report["collections"]
    heads = " | ".join(f"{row['collection']}" for row in found)
    rule = "---|" * (len(found) + 1)
    text = [f"nDCG@10 (R@100) on test\n\n| system | {heads} |\n|{rule}"]
    size = " | ".join(f"{row['documents']:,} / {row['queries']:,}" for row in found)
    text.append(f"| documents / queries | {size} |")
    for name in found[0]["systems"]:
        cells = [row["systems"][name] for row in found]
        shown = " | ".join(f"{c['nDCG@10']:.4f} ({c['R@100']:.4f})" for c in cells)
        text.append(f"| {name} | {shown} |")
    for name in found[0]["terms"]:
        shown = " | ".join(f"{row['terms'][name]:.1f}" for row in found)
        text.append(f"| terms per {name} | {shown} |")
    for row in found:
        text.append(f"\n{row['collection']}, tuned\n")
        kind = "tuned on train" if "tuned on train" in row else "cross-validated"
        on_train = kind == "tuned on train"
        head = (
            "| branches | chosen on train | train | test |"
            if on_train
            else ("| branches | held out |")
        )
        text.append(f"{head} against BM25 + dense | p |\n|{'---|' * (head.count('|') + 1)}")
        for name, tuned in row[kind].items():
            cells = (
                f"`{tuned['fusion']}` | {tuned['train']:.4f} | {tuned['test']:.4f}"
                if on_train
                else f"{tuned['held out']:.4f}"
            )
            text.append(f"| {name} | {cells} | {shown_difference(tuned)} |")
    return "\n".join(text) + "\n"


def shown_difference(row: Mapping[str, Any]) -> str:
    """Return the paired difference as two cells."""
    if "difference" not in row:
        return " | "
    d = row["difference"]
    return f"{d['mean']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}] | {d['p']:.3f}"


def main(
    collections: Sequence[Path],
    output: Path,
    work: Path,
    *,
    states: Path | None = None,
    precision: str = "float32",
    trials: int = 100,
) -> None:
    """Measure every collection; write ``output`` and print the tables.

    Raises:
        OutputExistsError: ``output`` exists.
    """
    if output.exists():
        raise OutputExistsError(f"{output} exists; give another file, or remove it")
    models = Models.load(precision, states)
    found = []
    for folder in collections:
        found.append(measure_collection(folder, models, work, trials))
        print(f"{folder.name}: measured", file=sys.stderr, flush=True)
    report = {"models": {SPLADE: models.encoders[SPLADE].fingerprint}, "collections": found}
    write_new(output, json.dumps(report, indent=1, default=float) + "\n")
    print(tables(report))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collections", type=Path, nargs="+", help="BEIR folders")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to make")
    parser.add_argument("--work", type=Path, default=Path("evaluate_builtin"), help="of indexes")
    parser.add_argument("--states", type=Path, help="folder of the backbone's token states")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--trials", type=int, default=100, help="of each tuning")
    given = vars(parser.parse_args())
    main(given.pop("collections"), given.pop("output"), given.pop("work"), **given)
