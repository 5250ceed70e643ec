"""Compare the built-in models as branches: alone, in pairs and in threes, with their costs.

    python pipelines/compare_builtin.py COLLECTION... --output FILE.json --work DIR [--rerank 50]

One index of each collection has BM25 and every model as a branch; fusions are the untuned mean
after min-max. Development queries are those of the dev split, or else, where there is no train
split either, the test queries of even number; the other test queries are reported. Differences are
paired. Costs are those of the first collection, in processor time. The work folder keeps indexes
and figures, so a run can go on.

--rerank scores the first documents of so many test queries of each collection by the cross-encoder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.build.create import build_index
from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.corpus import Source, SourceOptions, open_source
from hybrid.encoders import Bm25Parameters, load_dense, load_sparse
from hybrid.evaluate import PoolOptions, compare_paired, evaluate, judge
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.pools import judged_pool
from hybrid.evaluate.significance import holm
from hybrid.fusion import cc
from hybrid.machine.files import write_new
from hybrid.search.index import Index

MEASURE = "nDCG@10"
BM25 = "bm25"
SPARSE, DENSE = ("splade", "tiny", "sum"), ("minilm", "bge")
CROSS = "builtin:cross-encoder"
TIMED, ENCODED = 50, 48
Values = NDArray[np.float64]


def load(dtype: str, dense: Sequence[str]) -> dict[str, Any]:
    """Return the encoder of every branch; the sum is of the two sparse models beside it."""
    options: dict[str, Any] = {"device": "cpu", "dtype": dtype}
    loads = {
        "minilm": lambda: load_dense("builtin:minilm", **options),
        "bge": lambda: load_dense("builtin:bge-small"),
    }
    total = load_sparse("builtin:splade+builtin:splade-tiny", **options)
    sparse = dict(zip(SPARSE, (*total.parts, total), strict=True))
    return {BM25: Bm25Parameters(), **sparse, **{name: loads[name]() for name in dense}}


def branch_sets(dense: Sequence[str]) -> list[tuple[str, ...]]:
    """Return each branch alone, and what is compared of two and of three."""
    pairs = [(BM25, name) for name in dense] + list(product(SPARSE, dense))
    threes = [(BM25, sparse, name) for sparse, name in product(SPARSE, dense)]
    return [*((name,) for name in (BM25, *SPARSE, *dense)), *pairs, *threes]


def label(names: Sequence[str]) -> str:
    """Return the name of a set of branches in the tables."""
    return " + ".join(names)


def split_values(
    index: Index, source: Source, split: str, dense: Sequence[str]
) -> tuple[list[str], dict[str, Values]]:
    """Return the judged queries of a split, and by system the measure of each."""
    judged = judged_pool(index.view(), source, PoolOptions(split=split))
    found = {}
    for names in branch_sets(dense):
        bench = Bench(judge(judged.pool.narrow(names), judged.qrels), MEASURE)
        found[label(names)] = bench.values(cc(norm="minmax"))
    return list(bench.judged.pool.query_ids), found


def measured(index: Index, source: Source, dense: Sequence[str]) -> dict[str, dict[str, Values]]:
    """Return the values of the ``report`` queries and, where there are any, of ``dev``."""
    ids, values = split_values(index, source, "test", dense)
    if "dev" in source.splits():
        return {"dev": split_values(index, source, "dev", dense)[1], "report": values}
    if "train" in source.splits():
        return {"report": values}
    even = np.array([int(number) % 2 == 0 for number in ids])
    return {
        name: {system: each[rows] for system, each in values.items()}
        for name, rows in (("dev", even), ("report", ~even))
    }


def bytes_of(index: Index, names: Sequence[str]) -> int:
    """Return the size of some branches on disk, without the texts."""
    folder = index.view().contents.generation.directory
    return sum(
        path.stat().st_size
        for name in names
        for path in folder.rglob("*")
        if path.is_file() and name in path.relative_to(folder).parts
    )


def query_ms(index: Index, texts: Sequence[str], names: Sequence[str]) -> float:
    """Return the median processor time of one query by these branches, its encoding included."""
    fusion = cc(norm="minmax", branches=tuple(names))
    index.search(texts[0], k=10, fusion=fusion)
    times = []
    for text in texts:
        start = time.process_time()
        index.search(text, k=10, fusion=fusion)
        times.append(time.process_time() - start)
    return 1000 * float(np.median(times))


def documents_a_second(source: Source, encoders: Mapping[str, Any], names: Sequence[str]) -> float:
    """Return how many documents these branches encode in a second of processor time."""
    documents = list(islice(source.documents(), ENCODED))
    chosen = {name: encoders[name] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        encode_corpus(documents, Path(folder), chosen, EncodeOptions())
        return len(documents) / (time.process_time() - start)


def reranked(index: Index, source: Source, names: Sequence[str], count: int, depth: int) -> Any:
    """Return the measure of the first stage, of the cross-encoder and of both, by fusion."""
    qrels = source.qrels("test")
    queries = {
        each.query_id: each.text for each in source.queries("test") if each.query_id in qrels
    }
    rows = np.linspace(0, len(queries) - 1, min(count, len(queries))).astype(int)
    sample = {name: queries[name] for name in np.array(list(queries))[rows].tolist()}
    judged = {name: qrels[name] for name in sample}
    fusion = cc(norm="minmax", branches=tuple(names))

    def values(**options: Any) -> Values:
        run = index.search(sample, k=10, fusion=fusion, **options)
        return evaluate(run, judged, MEASURE).per_query(MEASURE)

    first = values()
    found: dict[str, Any] = {"queries": len(sample), "first": float(first.mean())}
    chosen = {"cross-encoder alone": "rerank"} | {
        f"weight {weight}": f"cc(alpha={weight}, norm=minmax)" for weight in (0.7, 0.5)
    }
    for name, each in chosen.items():
        given = values(rerank=CROSS, rerank_depth=depth, rerank_fusion=each)
        found[name] = {"mean": float(given.mean())} | compared(given, first)
    return found


def compared(values: Values, reference: Values) -> dict[str, Any]:
    """Return the paired difference from a reference as JSON data."""
    return {"difference": compare_paired(values, [reference])[0].to_dict()}


def differences(found: Sequence[Mapping[str, Any]], denses: Sequence[str]) -> list[dict[str, Any]]:
    """Return the sum against its parts, and each hybrid of three against BM25 and its dense model.

    Holm's correction is over the collections and systems of each of these families.
    """
    families = [[(SPARSE[-1], part) for part in SPARSE[:-1]]]
    for dense in denses:
        two = label((BM25, dense))
        families.append([(label((BM25, sparse, dense)), two) for sparse in SPARSE])
    rows = []
    for family in families:
        tested = []
        for one, (system, reference) in product(found, family):
            values = one["values"]["report"]
            named = {"collection": one["collection"], "system": system, "reference": reference}
            tested.append(named | compared(values[system], values[reference])["difference"])
        for row, corrected in zip(tested, holm([row["p"] for row in tested]), strict=True):
            rows.append(row | {"p_holm": corrected})
    return rows


def dense_of(encoders: Mapping[str, Any]) -> list[str]:
    """Return the names of the dense models."""
    return [name for name in encoders if name in DENSE]


def costs_of(index: Index, source: Source, encoders: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each set of branches with BM25 costs."""
    dense = dense_of(encoders)
    texts = [query.text for query in islice(source.queries("test"), TIMED)]
    return {
        label(names): {
            "documents_a_second": documents_a_second(source, encoders, names),
            "bytes_a_document": bytes_of(index, names) / len(index),
            "query_ms": query_ms(index, texts, names),
        }
        for names in branch_sets(dense)
        if len(names) > 1 and BM25 in names
    }


def measure_collection(
    folder: Path, encoders: Mapping[str, Any], work: Path, rerank: int, depth: int
) -> dict[str, Any]:
    """Return the figures of one collection, with its costs; what ``work`` has is not done again."""
    source = open_source(folder, options=SourceOptions(skip_bad=True))
    directory = work / f"{folder.name}.idx"
    if not directory.exists():
        build_index(source, directory, encoders=encoders)
    given = {name: encoder for name, encoder in encoders.items() if name != BM25}
    dense = dense_of(encoders)
    stages = ((BM25, dense[0]), (BM25, SPARSE[-1], dense[0])) if rerank else ()
    with Index(directory, encoders=given) as index:
        values = kept(work / f"{folder.name}.json", lambda: measured(index, source, dense))
        return {
            "collection": folder.name,
            "documents": len(index),
            "values": {
                part: {system: np.array(each) for system, each in systems.items()}
                for part, systems in values.items()
            },
            "costs": kept(work / "costs.json", lambda: costs_of(index, source, encoders)),
            "reranked": {
                label(names): reranked(index, source, names, rerank, depth) for names in stages
            },
        }


def kept(path: Path, compute: Callable[[], Any]) -> Any:
    """Return what a file holds, computed and written first if there is none."""
    if not path.exists():
        write_new(path, json.dumps(compute(), default=np.ndarray.tolist) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))


def tables(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown."""
    found = report["collections"]
    names = [(one["collection"], part) for one in found for part in one["means"]]
    heads = " | ".join(f"{name}, {part}" for name, part in names)
    lines = [f"| branches | {heads} |", f"|---|{'---:|' * len(names)}"]
    for system in found[0]["means"]["report"]:
        cells = (f"{one['means'][part][system]:.4f}" for one in found for part in one["means"])
        lines.append(f"| {system} | {' | '.join(cells)} |")
    lines += [
        "",
        "| branches | against | collection | difference | p | Holm |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["differences"]:
        lines.append(
            f"| {row['system']} | {row['reference']} | {row['collection']} | {shown(row)} | "
            f"{row['p']:.3f} | {row['p_holm']:.3f} |"
        )
    lines += ["", "| branches | documents/s | bytes a document | ms a query |", "|---|---|---|---|"]
    for system, cost in report["costs"].items():
        lines.append(
            f"| {system} | {cost['documents_a_second']:.1f} | {cost['bytes_a_document']:,.0f} "
            f"| {cost['query_ms']:.1f} |"
        )
    for one in found:
        for stage, row in one["reranked"].items():
            cells = [
                f"{name} {each['mean']:.4f} {shown(each['difference'])}"
                for name, each in row.items()
                if isinstance(each, dict)
            ]
            told = f"{one['collection']}: {stage}, {row['queries']} queries: {row['first']:.4f}"
            lines.append(f"\n{told}; {'; '.join(cells)}")
    return "\n".join(lines) + "\n"


def shown(row: Mapping[str, Any]) -> str:
    """Return a difference and its interval."""
    return f"{row['mean']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"


def main(
    collections: Sequence[Path],
    output: Path,
    work: Path,
    *,
    dtype: str = "float32",
    dense: Sequence[str] = DENSE,
    rerank: int = 0,
    depth: int = 30,
) -> None:
    """Measure every collection; write ``output`` and print the tables."""
    encoders = load(dtype, dense)
    work.mkdir(parents=True, exist_ok=True)
    found = []
    for folder in collections:
        found.append(measure_collection(folder, encoders, work, rerank, depth))
        print(f"{folder.name}: measured", file=sys.stderr, flush=True)
    report = {
        "differences": differences(found, dense),
        "costs": found[0]["costs"],
        "collections": found,
    }
    for one in found:
        values = one.pop("values")
        del one["costs"]
        one["means"] = {
            part: {system: float(each.mean()) for system, each in systems.items()}
            for part, systems in values.items()
        }
    write_new(output, json.dumps(report, indent=1) + "\n")
    print(tables(report))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collections", type=Path, nargs="+", help="BEIR folders")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to make")
    parser.add_argument("--work", type=Path, default=Path("compare_builtin"), help="of indexes")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--dense", choices=DENSE, nargs="+", default=DENSE)
    parser.add_argument("--rerank", type=int, default=0, help="queries of each collection")
    parser.add_argument("--depth", type=int, default=30, help="documents that are reranked")
    given = vars(parser.parse_args())
    main(given.pop("collections"), given.pop("output"), given.pop("work"), **given)
