"""Fine-tune the built-in SPLADE on the judged training queries of a collection, and measure it.

    python pipelines/finetune_domain.py COLLECTION WORK [--precision bfloat16] [--json FILE]
    python pipelines/finetune_domain.py stdlib WORK --held-out 60

COLLECTION is a source with train and test judgments; WORK is made and holds everything, so
that a second call goes on where the first stopped. Some training queries are held out: candidate
settings are compared on them, and the weights of the fusions are tuned on them. Test judgments are
read once, at the end. The head alone is trained, so the token states of the backbone are kept and
serve both indexes, the one before and the one after.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builtin_training.kept import KeptStates
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Source, open_source
from hybrid.encoders import Bm25Parameters, load_dense, load_sparse
from hybrid.encoders.mlm import route_modules
from hybrid.encoders.shared import shared_pass
from hybrid.evaluate import Evaluation, compare, evaluate
from hybrid.fusion import fuse, parse_fusion, rank
from hybrid.report.tables import Table, markdown
from hybrid.search.index import open_index
from hybrid.training import TrainOptions, read_examples, split_examples, train
from hybrid.training.report import REPORT
from hybrid.tune import TuneOptions, tune

SEED = 0
HELD_OUT = 200
CANDIDATES: dict[str, dict[str, object]] = {
    "ranking": {"recipe": "splade-max", "learning_rate": 1e-4},
    "ranking, slow": {"recipe": "splade-max", "learning_rate": 3e-5},
    "ranking, slow, denser": {"recipe": "splade-max", "learning_rate": 3e-5, "weight": 1e-4},
    "distilled, slow": {"recipe": "ensemble-distil", "learning_rate": 3e-5, "weight": 1e-4},
}
SYSTEMS = (
    ("sparse",),
    ("sparse", "dense"),
    ("bm25", "sparse"),
    ("bm25", "dense"),
    ("bm25", "sparse", "dense"),
)


@dataclass
class Setup:
    """Collection, models and folders, the same before and after.

    Attributes:
        source: the collection.
        work: the folder of everything.
        dense, precision: of the dense branch, and of both branches' products.
        held_out: training examples that settings and fusions are chosen on.
        figures: everything that was measured, as JSON values.
    """

    source: Source
    work: Path
    dense: str
    precision: Any
    held_out: int = HELD_OUT
    figures: dict[str, Any] = field(default_factory=dict)

    def encoders(self, model: str) -> dict[str, Any]:
        """Return the encoders by branch; one pass of a backbone that two share is kept."""
        sparse = load_sparse(model, dtype=self.precision)
        dense = load_dense(self.dense, dtype=self.precision)
        if shared_pass(sparse, dense) is not None:
            name = f"{self.dense} {self.precision}"
            kept = KeptStates(self.work / "tokens", name, dense.dimension)
            kept.wrap(route_modules(sparse.model, "document")[0])
            kept.wrap(dense.model[0])
        return {"bm25": Bm25Parameters(), "sparse": sparse, "dense": dense}


def fine_tune(setup: Setup, spec: str, index: Path, model: str, changes: dict[str, Any]) -> Path:
    """Return the folder of the model that does best on held-out training queries."""
    work = setup.work
    rows = []
    for name, candidate in CANDIDATES.items():
        output = work / name.replace(", ", "-")
        settings = {**changes, **candidate}
        weight = settings.pop("weight")
        options = TrainOptions(
            model,
            mine=index,
            mine_fusion="cc(weights=(bm25:0.5, dense:0.5), norm=minmax)",
            mine_count=6,
            teachers=("hybrid",),
            cache=work / "cache",
            layers=0,
            states=work / "states",
            held_out=setup.held_out,
            seed=SEED,
            document_weight=weight,
            query_weight=weight,
            **settings,
        )
        if not (output / REPORT).is_file():
            train(spec, output, options)
        measured = json.loads((output / REPORT).read_text(encoding="utf-8"))["report"]["measured"]
        rows += [
            (name, each["step"], each["ndcg"], each["document_terms"], each["query_terms"])
            for each in (measured[0], measured[-1])
        ]
    columns = ("candidate", "steps", "dev nDCG@10", "terms a document", "terms a query")
    title = f"{setup.held_out} held-out training examples, among their own passages and negatives"
    print(markdown(Table(title, columns, tuple(rows))))
    best = max(rows, key=lambda row: row[2])[0]
    print(f"chosen: {best}\n")
    setup.figures |= {"candidates": [dict(zip(columns, row, strict=True)) for row in rows]}
    setup.figures |= {"settings": changes, "chosen": best}
    return work / best.replace(", ", "-") / "model"


def measure(setup: Setup, name: str, model: str, dev: set[str]) -> dict[str, Evaluation]:
    """Return the test evaluation of each system, its weights tuned on the ``dev`` queries."""
    source, path = setup.source, setup.work / f"{name}.idx"
    encoders = setup.encoders(model)
    if not path.exists():
        build_index(source, path, encoders=encoders)
    queries = {query.query_id: query.text for query in source.queries("train")}
    known = {id_: text for id_, text in queries.items() if text in dev}
    judged = {id_: grades for id_, grades in source.qrels("train").items() if id_ in known}
    qrels = source.qrels("test")
    asked = {query.query_id: query.text for query in source.queries("test")}
    asked = {id_: text for id_, text in asked.items() if id_ in qrels}
    found, fusions = {}, {}
    with open_index(path, encoders={k: v for k, v in encoders.items() if k != "bm25"}) as opened:
        terms = opened.contents.record("sparse").report["nonzeros_per_document"]
        for branches in SYSTEMS:
            fusion = parse_fusion(branches[0])
            if len(branches) > 1:
                options = TuneOptions(trials=100, repeats=1, curve=False, seed=SEED)
                pool = opened.pool(known, branches=branches)
                fusion = tune(pool, judged, options).tuned
            pool = opened.pool(asked, branches=branches)
            key = " + ".join(branches)
            found[key] = evaluate(rank(pool, fuse(pool, fusion), 1000), qrels)
            fusions[key] = str(fusion)
            print(f"{name}: {key} by {fusion}")
    print(f"{name}: {terms} terms a document\n")
    setup.figures[name] = {"fusions": fusions, "terms a document": terms}
    return found


def table(setup: Setup, before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> str:
    """Return test nDCG@10 before and after, with the paired difference of each system."""
    rows, kept = [], {}
    for name in before:
        found = compare({"before": before[name], "after": after[name]}, seed=SEED)
        gain = found.difference["after"]
        interval = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        counts = f"{gain.wins}/{gain.ties}/{gain.losses}"
        means = (found.means["before"], found.means["after"])
        rows.append((name, *means, interval, round(gain.p, 4), counts))
        kept[name] = {"before": means[0], "after": means[1], "difference": gain.to_dict()}
    setup.figures["test"] = kept
    columns = ("branches", "before", "after", "difference", "p", "better/same/worse")
    return markdown(Table("nDCG@10 on the test queries", columns, tuple(rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection")
    parser.add_argument("work", type=Path)
    parser.add_argument("--index", type=Path, help="to mine, with bm25 and dense; else it is built")
    parser.add_argument("--model", default="builtin:splade")
    parser.add_argument("--dense", default="builtin:minilm")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--held-out", type=int, default=HELD_OUT, metavar="EXAMPLES")
    parser.add_argument("--json", type=Path, help="write every figure here, too")
    arguments = parser.parse_args()
    source = open_source(arguments.collection)
    given = arguments.work, arguments.dense, arguments.precision, arguments.held_out
    setup = Setup(source, *given)
    mined = arguments.index or setup.work / "mined.idx"
    if not mined.exists():
        build_index(source, mined, BuildOptions(sparse=None, dense=arguments.dense))
    changes = {
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "max_length": arguments.max_length,
        "negatives": 3,
        "temperature": 2.5,
        "weight": 1e-3,
        "checkpoint_steps": arguments.steps,
    }
    model = fine_tune(setup, arguments.collection, mined, arguments.model, changes)
    examples = read_examples(arguments.collection, split="train")
    dev = {row.query for row in split_examples(examples, setup.held_out, seed=SEED)[1]}
    before = measure(setup, "before", arguments.model, dev)
    print(table(setup, before, measure(setup, "after", str(model), dev)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(setup.figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
