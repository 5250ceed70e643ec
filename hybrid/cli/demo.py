"""The demo: the main job on the bundled collection with the built-in models, offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import open_source
from hybrid.errors import OutputExistsError
from hybrid.evaluate.systems import SystemsReport, evaluate_systems
from hybrid.fusion.run import Hit
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.index import open_index
from hybrid.search.plan import DEFAULT_DOMAIN
from hybrid.tune import TuneResult
from hybrid.tune.on_index import tune_index

COLLECTION = "stdlib"
MAX_LENGTH = 64
"""Tokens: two docstrings of three are shorter, and the demo takes minutes, not more."""
QUERIES = (
    "combine several sorted lists into one sorted stream",
    "stop my program from being interrupted by the keyboard",
    "how much memory does an object take",
)
SHOWN = 3


@dataclass(frozen=True)
class DemoResult:
    """The result of the demo.

    Attributes:
        output: where the index lies.
        reused: whether it was there already.
        tuned: what the training queries said.
        report: every system on the test queries.
        examples: a query and its first hits, each with the head of its document.
    """

    output: Path
    reused: bool
    tuned: TuneResult
    report: SystemsReport
    examples: tuple[tuple[str, tuple[tuple[Hit, str], ...]], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        examples = [
            {
                "query": query,
                "hits": [
                    {"rank": hit.rank, "doc_id": hit.doc_id, "score": hit.score} for hit, _ in hits
                ],
            }
            for query, hits in self.examples
        ]
        return {
            "index": str(self.output),
            "reused": self.reused,
            "tuned": self.tuned.to_dict(),
            "report": self.report.to_dict(),
            "examples": examples,
        }

    def lines(self) -> list[str]:
        """Return the verdict, the example searches and the place of the index as text."""
        lines = ["", *self.tuned.lines()]
        for query, hits in self.examples:
            lines += ["", f"> {query}"]
            lines += [f"  {hit.rank}  {hit.score:.4f}  {hit.doc_id}: {head}" for hit, head in hits]
        again = " (it was there already)" if self.reused else ""
        lines += [
            "",
            f"The index lies in {self.output}{again}. Go on with, for instance:",
            f'  hybrid search {self.output} "{QUERIES[0]}"',
            f'  hybrid explain {self.output} "{QUERIES[0]}" heapq.merge --fusion sparse',
            f"  hybrid report {self.output} {COLLECTION} -o report.html",
            f"  hybrid serve {self.output}",
        ]
        return lines


def run_demo(output: Path, *, progress: StartProgress = no_progress) -> DemoResult:
    """Build an index of the bundled collection, or reuse it, then tune, evaluate and search it.

    Raises:
        OutputExistsError: ``output`` holds an index of something else.
        IndexFormatError: ``output`` exists and is no index.
    """
    source = open_source(COLLECTION)
    reused = output.exists()
    if not reused:
        build_index(source, output, BuildOptions(max_length=MAX_LENGTH), progress=progress)
    with open_index(output) as index:
        if index.contents.source != source.name:
            raise OutputExistsError(
                f"{output} is an index of {index.contents.source}, not of {source.name}; "
                "give another folder with --output"
            )
        tuned = tune_index(index, source)
        index.store_domain(DEFAULT_DOMAIN, tuned.fusion, report=tuned.to_dict())
        report = evaluate_systems(index, source)
        examples = []
        for query in QUERIES:
            hits = index.search(query, k=SHOWN)
            heads = tuple((hit, _head(index.document(hit.doc_id).text)) for hit in hits)
            examples.append((query, heads))
    return DemoResult(output, reused, tuned, report, tuple(examples))


def _head(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:90]
