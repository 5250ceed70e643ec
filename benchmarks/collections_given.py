"""The collections that a benchmark is given on its command line, and their judged pools."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import hybrid
from hybrid.corpus import Source, SourceOptions, open_source
from hybrid.evaluate import PoolOptions, judge
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.pools import JudgedPool, judged_pool
from hybrid.search.index import Index


@dataclass(frozen=True)
class Collection:
    """An index, and a split (or several, joined by ``+``) of the judged queries of a source."""

    name: str
    index: Index
    source: Source
    split: str

    def judged(self, branches: tuple[str, ...] = ()) -> JudgedPool:
        """Return the judged pool over ``branches``, all where none are given."""
        view = self.index.view()
        plan = view.pool_plan(branches=branches)
        if "+" not in self.split:
            return judged_pool(view, self.source, PoolOptions(split=self.split), plan)
        splits = [self.source.qrels(split) for split in self.split.split("+")]
        qrels = {query_id: judged for split in splits for query_id, judged in split.items()}
        texts = {query.query_id: query.text for query in self.source.queries()}
        return judged_pool(view, (texts, qrels), plan=plan)

    def bench(self, measure: str, branches: tuple[str, ...] = ()) -> Bench:
        """Return the bench of the judged pool."""
        found = self.judged(branches)
        return Bench(judge(found.pool, found.qrels), measure)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add INDEX=SOURCE:SPLIT ..., --branches, --measure and --seed."""
    parser.add_argument("collections", nargs="+", metavar="INDEX=SOURCE:SPLIT")
    parser.add_argument("--branches", default="", help="with commas; default: all of the index")
    parser.add_argument("--measure", default="nDCG@10")
    parser.add_argument("--seed", type=int, default=0)


def opened(text: str) -> Collection:
    """Return the collection that ``INDEX=SOURCE:SPLIT`` names."""
    place, _, rest = text.partition("=")
    spec, _, split = rest.rpartition(":")
    source = open_source(spec, options=SourceOptions(skip_bad=True))
    return Collection(Path(spec).name, hybrid.open(place), source, split)


def branch_names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(name for name in text.split(",") if name)
