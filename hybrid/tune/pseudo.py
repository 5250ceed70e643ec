"""No labels at all: known-item queries made from the corpus itself, labelled as weak.

A sentence of a document, or its title, asks for that document. Azzopardi, de Rijke and Balog,
SIGIR 2007. Such queries share more words with their document than people's do, which favours the
sparse branch; ``drop`` leaves out part of the words against that. On collections with real labels
the weight that such queries choose is worse than the untuned default, titles being the least bad
(docs/results/labels.md): hold the result for a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hybrid.corpus import Document
from hybrid.errors import UsageError
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.slices import words
from hybrid.fusion import Fusion

Kind = Literal["title", "sentence"]
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
LEAST_WORDS = 3


@dataclass(frozen=True)
class PseudoQueries:
    """Queries that a program made, each with the one document that it asks for.

    ``weak`` is always True: reports must say so.
    """

    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    weak: bool = True


def known_item_queries(
    documents: Iterable[Document],
    count: int = 200,
    *,
    kind: Kind = "sentence",
    drop: float = 0.5,
    seed: int = 0,
) -> PseudoQueries:
    """Return ``count`` queries, each made from one document drawn at random.

    Args:
        documents: read once; only the drawn ones are held.
        count: how many, fewer where fewer documents have enough words.
        kind: what a query is made of.
        drop: the share of words left out at random.
        seed: of the draw.

    Raises:
        UsageError: no document has a title or sentence of 3 words or more.

    >>> made = known_item_queries([Document("d", "one two three four")], drop=0.0)
    >>> made.queries, made.qrels
    ({'known:d': 'one two three four'}, {'known:d': {'d': 1}})
    """
    rng = np.random.default_rng(seed)
    drawn: list[tuple[str, str]] = []
    for place, (doc_id, text) in enumerate(_usable(documents, kind, rng)):
        if place < count:
            drawn.append((doc_id, text))
        elif (slot := int(rng.integers(0, place + 1))) < count:
            drawn[slot] = (doc_id, text)
    if not drawn:
        raise UsageError(
            f"no document has a {kind} of {LEAST_WORDS} words or more; make the queries of "
            f"{'sentences' if kind == 'title' else 'titles'}"
        )
    queries = {f"known:{doc_id}": _thinned(text, drop, rng) for doc_id, text in sorted(drawn)}
    return PseudoQueries(queries, {f"known:{doc_id}": {doc_id: 1} for doc_id, _ in sorted(drawn)})


def _usable(
    documents: Iterable[Document], kind: Kind, rng: np.random.Generator
) -> Iterable[tuple[str, str]]:
    for document in documents:
        parts = [document.title] if kind == "title" else _SENTENCE.split(document.text)
        enough = [part.strip() for part in parts if len(words(part)) >= LEAST_WORDS]
        if enough:
            yield document.doc_id, enough[int(rng.integers(0, len(enough)))]


def _thinned(text: str, drop: float, rng: np.random.Generator) -> str:
    parts = text.split()
    kept = max(LEAST_WORDS, round(len(parts) * (1 - drop)))
    chosen = np.sort(rng.choice(len(parts), min(kept, len(parts)), replace=False))
    return " ".join(parts[i] for i in chosen)


@dataclass(frozen=True)
class Agreement:
    """How far weak labels lead to what real labels say.

    Attributes:
        tau: Kendall's tau-b of the fusions' means under weak and real labels.
        chosen: the best fusion under weak labels.
        regret: how much the real measure loses by taking it instead of the best one.
        means: fusion to (weak mean, real mean).
    """

    tau: float
    chosen: Fusion
    regret: float
    means: Mapping[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the agreement as JSON data."""
        means = {name: list(pair) for name, pair in self.means.items()}
        return {
            "tau": self.tau,
            "chosen": str(self.chosen),
            "regret": self.regret,
            "means": means,
        }


def agreement(weak: Bench, real: Bench, fusions: Sequence[Fusion]) -> Agreement:
    """Return how well weak labels order ``fusions``, held against real labels.

    Raises:
        UsageError: fewer than two fusions.
    """
    from scipy.stats import kendalltau

    if len(fusions) < 2:
        raise UsageError(f"{len(fusions)} fusions were given; agreement needs two or more")
    pairs = [(float(weak.values(f).mean()), float(real.values(f).mean())) for f in fusions]
    best = int(np.argmax([pair[0] for pair in pairs]))
    tau = float(kendalltau(*zip(*pairs, strict=True)).statistic)
    return Agreement(
        tau=tau if np.isfinite(tau) else 0.0,
        chosen=fusions[best],
        regret=max(pair[1] for pair in pairs) - pairs[best][1],
        means={str(f): pair for f, pair in zip(fusions, pairs, strict=True)},
    )
