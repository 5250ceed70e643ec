"""``hybrid explain``: why a document has its score, down to the expansion term."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, example, out, print_json


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
