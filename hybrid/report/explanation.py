"""The page of explanations: why each document has its score, in one HTML file."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from hybrid.corpus import Document
from hybrid.corpus.snippets import Match, marks_of
from hybrid.fusion.explain import APPROXIMATION, BranchShare, Explanation
from hybrid.report.page import page
from hybrid.report.tables import Cell, Table, html_text


def explanations_page(
    query: str, explanations: Sequence[Explanation], documents: Sequence[Document]
) -> str:
    """Return a page of some explanations of one query, each with its document.

    Args:
        query: its text.
        explanations: one or more.
        documents: of each explanation.
    """
    body = []
    for one, document in zip(explanations, documents, strict=True):
        title = f": {document.title}" if document.title else ""
        body.append(f"<section>\n<h2>{html.escape(one.doc_id + title)}</h2>")
        body += _explained(one)
        body.append(f'<p class="document">{_marked(one, document.text)}</p>\n</section>')
    return page(f"Why these documents: {query}", body)


def _explained(one: Explanation) -> Iterator[str]:
    yield f"<p>{html.escape(one.fusion)}: {html.escape(one.result)}</p>"
    if one.missed is not None:
        yield f"<p>{html.escape(str(one.missed))}</p>"
    yield html_text(_shares(one))
    for share in one.branches:
        if share.terms:
            yield html_text(_terms(share))
        if share.sentences:
            yield html_text(_sentences(share))
    if any(share.alphas is not None for share in one.branches) or one.others:
        yield html_text(_outcomes(one))
    if one.first is not None:
        yield "<h3>Before it was scored again</h3>"
        yield from _explained(one.first)


def _marked(one: Explanation, text: str) -> str:
    """Return the text as HTML, its words marked by the terms that they bring to the score."""
    shares = (one.first or one).branches
    matches = [
        Match(*place, share.branch, term.term, term.contribution, term.kind == "literal")
        for share in shares
        for term in share.terms
        for place in term.places
    ]
    parts, last = [], 0
    for mark in marks_of(matches):
        word = html.escape(text[mark.start : mark.end])
        told = html.escape(f"{mark.term} ({mark.branch}): {mark.weight:.4g}")
        kind = "literal" if mark.literal else "expanded"
        parts.append(html.escape(text[last : mark.start]))
        parts.append(f'<mark class="{kind}" title="{told}">{word}</mark>')
        last = mark.end
    return "".join([*parts, html.escape(text[last:])])


def _shares(one: Explanation) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            share.branch,
            share.rank or None,
            share.score,
            share.lacks,
            share.passage or None,
            share.weight,
            share.part,
            share.share,
        )
        for share in one.branches
    ]
    if one.tie_break:
        rows.append(("tie break", *(None,) * 6, one.tie_break))
    rows.append(("score", *(None,) * 6, one.score))
    names = ("branch", "rank", "own score", "lacks", "passage", "weight", "part", "share")
    bold = frozenset({(len(rows) - 1, len(names) - 1)})
    return Table("Share of each branch in the score", names, tuple(rows), places=6, best=bold)


def _terms(share: BranchShare) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (each.term, each.query_weight, each.document_weight, each.contribution, each.kind)
        for each in share.terms
    ]
    names = ("term", "weight in query", "weight in document", "product", "kind")
    return Table(f"Terms of {share.branch}", names, tuple(rows))


def _sentences(share: BranchShare) -> Table:
    rows: list[tuple[Cell, ...]] = [(each.score, each.text) for each in share.sentences]
    return Table(f"{share.branch}: {APPROXIMATION}", ("score", "sentence"), tuple(rows))


def _outcomes(one: Explanation) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (f"a weight of {share.branch} {share.stretches}", "in the top k")
        for share in one.branches
        if share.alphas is not None
    ]
    rows += [(fusion, f"rank {rank}" if rank else "no candidate") for fusion, rank in one.others]
    return Table("What would change its rank", ("under", "it would be"), tuple(rows))
