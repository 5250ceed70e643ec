"""Fine-tune the built-in SPLADE on the judged training queries of a collection, and measure it.

    python pipelines/finetune_domain.py COLLECTION WORK [--index INDEX]

COLLECTION is a BEIR folder with train and test judgments; WORK is made and holds everything, so
that a second call goes on where the first stopped. Some training queries are held out: candidate
settings are compared on them, and the weights of the fusions are tuned on them. Test judgments are
read once, at the end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from hybrid.build import BuildOptions, build_index
from hybrid.corpus import Source, open_source
from hybrid.evaluate import Evaluation, compare, evaluate
from hybrid.fusion import fuse, parse_fusion, rank
from hybrid.report.tables import Table, markdown
from hybrid.retrieve import open_index
from hybrid.training import TrainConfig, read_examples, split_examples, train
from hybrid.training.report import REPORT
from hybrid.training.supervision import Supervision, supervised
from hybrid.tune import Plan, tune

SEED = 0
HELD_OUT = 200
CANDIDATES: dict[str, dict[str, object]] = {
    "ranking": {"recipe": "splade-max", "learning_rate": 1e-4},
    "ranking, slow": {"recipe": "splade-max", "learning_rate": 3e-5},
    "distilled": {"recipe": "ensemble-distil", "learning_rate": 1e-4},
}
SYSTEMS = (
    ("sparse",),
    ("sparse", "dense"),
    ("bm25", "sparse"),
    ("bm25", "dense"),
    ("bm25", "sparse", "dense"),
)


def fine_tune(source: str, index: Path, work: Path, model: str, changes: dict[str, object]) -> Path:
    """Return the folder of the model that does best on held-out training queries."""
    examples = read_examples(source, split="train")
    teachers = Supervision(
        index=index,
        fusion="cc(weights=(bm25:0.5, dense:0.5), norm=minmax)",
        count=6,
        teachers=("hybrid",),
        cache=work / "cache",
    )
    scored = supervised(examples, teachers)
    rows = []
    for name, settings in CANDIDATES.items():
        output = work / name.replace(", ", "-")
        config = TrainConfig(
            model,
            output,
            layers=0,
            states=work / "states",
            held_out=HELD_OUT,
            seed=SEED,
            **{**changes, **settings},  # type: ignore[arg-type]
        )
        if not (output / REPORT).is_file():
            train(config, scored, origin=teachers.to_dict())
        measured = json.loads((output / REPORT).read_text(encoding="utf-8"))["report"]["measured"]
        rows += [
            (name, each["step"], each["ndcg"], each["document_terms"], each["query_terms"])
            for each in (measured[0], measured[-1])
        ]
    columns = ("candidate", "steps", "dev nDCG@10", "terms a document", "terms a query")
    title = f"{HELD_OUT} held-out training examples, among their own passages and negatives"
    print(markdown(Table(title, columns, tuple(rows))))
    best = max(rows, key=lambda row: row[2])[0]
    print(f"chosen: {best}\n")
    return work / best.replace(", ", "-") / "model"


def measure(source: Source, index: Path, dev: set[str]) -> dict[str, Evaluation]:
    """Return the test evaluation of each system, its weights tuned on the ``dev`` queries."""
    queries = {query.query_id: query.text for query in source.queries("train")}
    known = {id_: text for id_, text in queries.items() if text in dev}
    judged = {id_: grades for id_, grades in source.qrels("train").items() if id_ in known}
    qrels = source.qrels("test")
    asked = {query.query_id: query.text for query in source.queries("test")}
    asked = {id_: text for id_, text in asked.items() if id_ in qrels}
    found = {}
    with open_index(index) as opened:
        for branches in SYSTEMS:
            fusion = parse_fusion(branches[0])
            if len(branches) > 1:
                plan = Plan(trials=100, repeats=1, curve=False)
                pool = opened.pool(known, branches=branches)
                fusion = tune(pool, judged, seed=SEED, plan=plan).tuned
            pool = opened.pool(asked, branches=branches)
            found[" + ".join(branches)] = evaluate(rank(pool, fuse(pool, fusion), 1000), qrels)
            print(f"{index.name}: {' + '.join(branches)} by {fusion}")
    print()
    return found


def table(before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> str:
    """Return test nDCG@10 before and after, with the paired difference of each system."""
    rows = []
    for name in before:
        found = compare({"before": before[name], "after": after[name]}, seed=SEED)
        gain = found.difference["after"]
        interval = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        counts = f"{gain.wins}/{gain.ties}/{gain.losses}"
        means = (found.means["before"], found.means["after"])
        rows.append((name, *means, interval, round(gain.p, 4), counts))
    columns = ("branches", "before", "after", "difference", "p", "better/same/worse")
    return markdown(Table("nDCG@10 on the test queries", columns, tuple(rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection")
    parser.add_argument("work", type=Path)
    parser.add_argument("--index", type=Path, help="an index of the collection, else it is built")
    parser.add_argument("--model", default="builtin:splade")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=128)
    arguments = parser.parse_args()
    work, source = arguments.work, open_source(arguments.collection)
    before = arguments.index or work / "before.idx"
    if not before.exists():
        build_index(source, before, BuildOptions(sparse=arguments.model))
    changes = {
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "max_length": arguments.max_length,
        "negatives": 3,
        "temperature": 2.5,
        "document_weight": 1e-3,
        "query_weight": 1e-3,
        "checkpoint_steps": arguments.steps,
    }
    model = fine_tune(arguments.collection, before, work, arguments.model, changes)
    after = work / "after.idx"
    if not after.exists():
        build_index(source, after, BuildOptions(sparse=str(model)))
    examples = read_examples(arguments.collection, split="train")
    dev = {row.query for row in split_examples(examples, HELD_OUT, seed=SEED)[1]}
    print(table(measure(source, before, dev), measure(source, after, dev)))


if __name__ == "__main__":
    main()
