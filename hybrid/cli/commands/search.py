"""``hybrid search`` and ``hybrid explain``: a ranked list, and why a document is where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.app import app, err, example, out, print_json
from hybrid.cli.options import Device, Filter, Recall

SNIPPET = 160


@app.command(epilog=example('hybrid search stdlib.idx "merge sorted lists" -k 5'))
def search(
    index: Annotated[Path, typer.Argument(help="index folder")],
    query: Annotated[str, typer.Argument(help="the query")],
    k: Annotated[int | None, typer.Option("-k", help="how many documents; default: 10")] = None,
    fusion: Annotated[
        str | None, typer.Option(help="for instance rrf(k=60), cc(alpha=0.4, norm=tmm), dense")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="use the fusion that was tuned for this domain")
    ] = None,
    depth: Annotated[int | None, typer.Option(help="how deep each branch searches")] = None,
    where: Filter = None,
    recall: Recall = 1.0,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Search an index with one query; of documents cut into passages, show the best of each."""
    from hybrid.search.index import open_index
    from hybrid.search.passages import best_passages
    from hybrid.search.plan import lines

    with open_index(index, device=device) as opened:
        chosen = opened.fusion(fusion, domain=domain)
        options: dict[str, Any] = {"depth": depth, "filter": where, "recall": recall}
        accuracies = opened.plan(k, fusion=chosen, **options).accuracies
        hits = opened.search(query, k=k, fusion=chosen, **options)
        documents = [opened.document(hit.doc_id) for hit in hits]
        doc_ids = [hit.doc_id for hit in hits]
        best = best_passages(opened, query, doc_ids, chosen.branch_names(opened.branches))
    if as_json:
        rows: list[dict[str, Any]] = [
            {"rank": hit.rank, "doc_id": hit.doc_id, "score": hit.score, "title": document.title}
            for hit, document in zip(hits, documents, strict=True)
        ]
        for row, passages in zip(rows, best, strict=True):
            if passages:
                row["passages"] = [each.to_dict() for each in passages]
        found: dict[str, Any] = {"query": query, "fusion": str(chosen), "hits": rows}
        if accuracies:
            found["accuracy"] = {name: each.to_dict() for name, each in accuracies.items()}
        print_json(found)
        return
    for line in lines(accuracies):
        out.print(line, markup=False, style="dim")
    if not hits:
        within = "" if where is None else f" among the documents that {where} lets through"
        err.print(f"nothing found by {chosen}{within}", markup=False, soft_wrap=True)
    for hit, document, passages in zip(hits, documents, best, strict=True):
        head = document.title or document.doc_id
        shown = passages[0].text if passages else document.text
        out.print(f"{hit.rank:>3}  {hit.score:.4f}  {hit.doc_id}", markup=False)
        text = " ".join(f"{head if head != hit.doc_id else ''} {shown}".split())
        out.print(f"     {text[:SNIPPET]}", markup=False, style="dim")


@app.command(epilog=example('hybrid explain stdlib.idx "merge sorted lists" heapq.merge'))
def explain(
    index: Annotated[Path, typer.Argument(help="index folder")],
    query: Annotated[str, typer.Argument(help="the query")],
    doc_id: Annotated[str, typer.Argument(help="the document to explain")],
    fusion: Annotated[str | None, typer.Option(help="explain under this fusion")] = None,
    domain: Annotated[str | None, typer.Option(help="explain under this domain's fusion")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Explain a score: each branch's share, and each term's, marked literal or expanded."""
    from hybrid.search.explain import explain_document
    from hybrid.search.index import open_index

    with open_index(index) as opened:
        explanation = explain_document(opened, query, doc_id, fusion=fusion, domain=domain)
    if as_json:
        print_json(explanation.to_dict())
        return
    for line in explanation.lines():
        out.print(line, markup=False)
