"""The sections of a report that an index alone gives: contents, sparsity, expansions, tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from hybrid.build.records import BM25
from hybrid.encoders.unread import CUT, MEDIAN, MOST
from hybrid.errors import HybridError
from hybrid.fusion import parse_fusion
from hybrid.index.hybrid import HybridIndex
from hybrid.index.records import figures
from hybrid.machine.arrays import Ints
from hybrid.report.evaluation import transfer_table
from hybrid.report.index_plots import histograms, postings_lengths
from hybrid.report.parts import Plot, Section
from hybrid.report.plots import differences, learning_curve, transfer_matrix
from hybrid.report.tables import Cell, Table
from hybrid.search.plan import POOLED_DOMAIN
from hybrid.search.view import View
from hybrid.tune import DomainsResult, TuneResult
from hybrid.tune.domains import POOLED, UNTUNED

SAMPLED, LOOKED_AT = 20_000, 1_000
"""Rows whose terms are counted, and texts whose words are held against them; evenly apart."""
LONGEST = 20
"""Terms of a table."""


def sparse_branches(index: HybridIndex) -> list[str]:
    """Return the names of the sparse branches."""
    return [name for name in index.branches if index.record(name).kind == "sparse"]


def learned_branches(index: HybridIndex) -> list[str]:
    """Return the names of the sparse branches that are not BM25."""
    return [n for n in sparse_branches(index) if index.record(n).encoder["model"] != BM25]


def row_name(index: HybridIndex) -> str:
    """Return "documents" or "passages", which the rows of a branch are."""
    return "documents" if index.passages is None else "passages"


def spread(size: int, count: int) -> Ints:
    """Return at most ``count`` numbers below ``size``, evenly apart, int32."""
    return np.unique(np.linspace(0, size - 1, min(size, count))).astype(np.int32)


def contents_section(index: HybridIndex) -> Section:
    """Return the size of the index, what each branch recorded, and the texts that were cut."""
    rows: list[tuple[Cell, ...]] = [
        ("documents", len(index.numbering)),
        ("rows of each branch", index.row_count),
        ("segments", len(index.numbering.sizes)),
        ("deleted documents still stored", sum(index.numbering.sizes) - len(index.numbering)),
        ("bytes", index.generation.size),
        ("first built of", index.source),
        ("last commit", index.generation.manifest.created_at),
    ]
    recorded: list[tuple[Cell, ...]] = []
    cut: list[tuple[Cell, ...]] = []
    for name, record in index.records.items():
        found = figures(record.report)
        recorded.append((name, record.kind, "model", record.encoder["model"]))
        recorded += [(name, record.kind, key, value) for key, value in found.items()]
        if CUT in found:
            share = found[CUT] / index.row_count
            cut.append((name, found[CUT], share, found.get(MEDIAN), found.get(MOST)))
    names = ("branch", row_name(index) + " cut", "share", "tokens unread, median", "most")
    none = "No model left a part of a text unread, as far as was recorded when it was built."
    return Section(
        "Contents",
        (
            Table("Size", ("of", "value"), tuple(rows)),
            Table("Branches", ("branch", "kind", "figure", "value"), tuple(recorded)),
            Table("Texts that a model read in part", names, tuple(cut)) if cut else none,
        ),
    )


def sparsity_section(view: View) -> Section | None:
    """Return the terms of each row and the postings of each term; None without sparse branches."""
    index = view.local
    if not sparse_branches(index):
        return None
    names, texts = sparse_branches(index), row_name(index)
    rows = spread(index.row_count, SAMPLED)
    counts = {name: np.diff(index.sparse(name).vectors(rows).indptr) for name in names}
    lengths = {name: _lengths(index, name) for name in names}
    used = {name: each[each > 0] for name, each in lengths.items()}
    longest = [_longest(view, name, lengths[name], texts) for name in names]
    return Section(
        "Sparsity",
        (
            counts_table(counts, texts),
            Plot(
                "terms-per-document",
                f"Terms with a weight of {len(rows):,} {texts}, by branch.",
                lambda: histograms(counts, texts),
            ),
            Plot(
                "postings-lengths",
                "Length of the postings of each term, longest first, by branch.",
                lambda: postings_lengths(used, texts),
            ),
            *longest,
        ),
    )


def counts_table(counts: Mapping[str, Ints], texts: str) -> Table:
    """Return mean and quantiles of the terms of each text, one row a branch."""
    rows: list[tuple[Cell, ...]] = [
        (name, len(each), float(each.mean()), *np.quantile(each, [0.05, 0.5, 0.95, 1]).tolist())
        for name, each in counts.items()
        if len(each)
    ]
    names = ("branch", texts, "mean", "5 %", "median", "95 %", "most")
    return Table(f"Terms with a weight, of {texts}", names, tuple(rows), places=2)


def _lengths(index: HybridIndex, name: str) -> Ints:
    """Return how many rows each term is in, int32 (vocabulary,), those of deleted ones too."""
    stored = [segment.frequencies for segment in index.sparse(name).segments]
    lengths: Ints = np.sum(stored, axis=0, dtype=np.int32)
    return lengths


def _longest(view: View, name: str, lengths: Ints, texts: str) -> Table:
    stored = max(1, sum(len(segment) for segment in view.local.sparse(name).segments))
    vocabulary = view.sparse_encoder(name).vocabulary
    rows: list[tuple[Cell, ...]] = [
        (vocabulary[column], int(lengths[column]), float(lengths[column] / stored))
        for column in np.argsort(-lengths, kind="stable")[:LONGEST].tolist()
        if lengths[column]
    ]
    return Table(f"Longest postings of {name}", ("term", texts, "share"), tuple(rows))


def expansions_section(view: View) -> Section | None:
    """Return the terms that learned branches add to documents most often; None without any."""
    index = view.local
    learned = learned_branches(index)
    if not learned:
        return None
    rows = spread(index.row_count, LOOKED_AT)
    texts = list(index.row_texts(rows))
    tables = (
        expansions_table(view, name, index.sparse(name).vectors(rows), texts, row_name(index))
        for name in learned
    )
    return Section("Expansions", tuple(tables))


def expansions_table(
    view: View, name: str, weights: csr_matrix, texts: Sequence[str], kind: str
) -> Table:
    """Return the terms with a weight that do not stand in the text, most frequent first.

    Args:
        view: whose encoder knows the words of a text.
        name: of a sparse branch.
        weights: CSR (texts, vocabulary).
        texts: of the rows.
        kind: what they are, in the plural.
    """
    encoder = view.sparse_encoder(name)
    number = {term: column for column, term in enumerate(encoder.vocabulary)}
    coded = csr_matrix(weights, copy=True)
    for row, text in enumerate(texts):
        literal = [number[term] for term in encoder.literal_terms(text)]
        part = slice(coded.indptr[row], coded.indptr[row + 1])
        coded.data[part][np.isin(coded.indices[part], literal)] = 0
    coded.eliminate_zeros()
    counts = np.bincount(coded.indices, minlength=coded.shape[1])
    sums = np.bincount(coded.indices, coded.data, coded.shape[1])
    rows: list[tuple[Cell, ...]] = [
        (encoder.vocabulary[at], int(counts[at]), counts[at] / len(texts), sums[at] / counts[at])
        for at in np.argsort(-counts, kind="stable")[:LONGEST].tolist()
        if counts[at]
    ]
    share = coded.nnz / max(1, weights.nnz)
    title = f"Terms that {name} adds to {kind}: {share:.1%} of the weights of {len(texts):,} {kind}"
    return Table(title, ("term", kind, "share", "mean weight"), tuple(rows))


def tuning_sections(index: HybridIndex) -> Iterator[Section]:
    """Yield the evidence for each tuned fusion, and the transfer between domains."""
    for number, (name, domain) in enumerate(index.domains.items(), start=1):
        report = domain.get("report", {})
        try:
            if name == POOLED_DOMAIN and "transfer" in report:
                measures = {each["report"].get("measure") for each in index.domains.values()}
                measure = ", ".join(sorted(measures - {None}))
                yield _transfer(domain["fusion"], report, measure)
            else:
                yield _tuned(name, number, TuneResult.stored(report))
        except (KeyError, TypeError, ValueError, HybridError):
            stored = f"Stored without evidence that this version can read: {domain['fusion']}"
            yield Section(f"Domain {name}", (stored,))


def _tuned(name: str, number: int, found: TuneResult) -> Section:
    parts: list[str | Table | Plot] = [*found.lines()]
    if found.difference:
        caption = f"{name}: the tuned fusion against each baseline, held out."
        parts.append(Plot(f"tuned-{number}", caption, lambda: differences(found)))
    if found.label_budget.curve:
        caption = f"{name}: held-out mean over the number of judged queries."
        parts.append(
            Plot(
                f"learning-curve-{number}",
                caption,
                lambda: learning_curve(found.label_budget, found.baselines),
            )
        )
    return Section(f"Tuning: domain {name}", tuple(parts))


def _transfer(pooled: str, report: Mapping[str, Any], measure: str) -> Section:
    stored, columns = report["transfer"], tuple(report["domains"])
    names = (*columns, POOLED, UNTUNED)
    values = np.array([[stored[row][name] for name in columns] for row in names])
    found = DomainsResult({}, parse_fusion(pooled), names, columns, values, {})
    caption = "Fusions tuned on the domain of the row, measured on that of the column."
    return Section(
        "Transfer between domains",
        (
            f"For unknown domains: {pooled}",
            transfer_table(found, measure),
            Plot("transfer", caption, lambda: transfer_matrix(found)),
        ),
    )
