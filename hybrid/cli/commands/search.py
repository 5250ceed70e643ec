"""``hybrid search`` and ``hybrid explain``: a ranked list, and why a document is where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out, print_json
from hybrid.cli.options import AsJson, Device, IndexAddress, QueryBackend, options_of
from hybrid.cli.output import one_line, print_hit
from hybrid.corpus.records import field_names
from hybrid.errors import UsageError
from hybrid.search.options import SearchOptions

FACET_VALUES = 10


@app.command(epilog=example('hybrid search stdlib.idx "merge sorted lists" -k 5'))
@options_of
def search(
    index: IndexAddress,
    query: Annotated[str, typer.Argument(help="the query")],
    options: SearchOptions,
    k: Annotated[
        int | None, typer.Option("-k", "--top-k", help="how many documents; default: 10")
    ] = None,
    device: Device = "auto",
    backend: QueryBackend = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BRANCH=PATH", help="where the model of a branch lies now, if it has moved"
        ),
    ] = None,
    facets: Annotated[
        str,
        typer.Option(
            metavar="FIELDS", help="count the values of these fields, with commas, over 100 hits"
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Search an index with one query, and show the part of each document that says most of it."""
    from hybrid.index.documents.fields import facet_rows
    from hybrid.search.index import open_index

    names, models = field_names(facets), dict(map(_moved, model or []))
    with open_index(
        index, models=models, device=device, backend=backend and backend.value
    ) as opened:
        view = opened.view()
        view.contents.documents.check_fields(names)
        result = view.search({"1": query}, view.plan(k, options))
        hits = result.run.bound(view.hit_sources(result))["1"]
        rows = [hit.to_dict() for hit in hits] if as_json else []
        counted = result.facets(names)
        if not as_json:
            for hit in hits:
                print_hit(hit)
    plan = result.plan
    if as_json:
        shown = facet_rows(counted) if names else None
        print_json({"query": query, "fusion": str(plan.fusion), "hits": rows, "facets": shown})
        return
    within = "" if plan.filter is None else f" among the documents that {plan.filter} lets through"
    again = "" if plan.rerank is None else f", the first {plan.rerank.depth} reranked"
    how = "ranked" if hits else "nothing found"
    err.print(f"{how} by {plan.fusion}{again}{within}", markup=False, soft_wrap=True)
    for name, counts in counted.items():
        most = [
            f"{one_line(str(value))} {count}"
            for value, count in list(counts.items())[:FACET_VALUES]
        ]
        cut = ["..."] if len(counts) > FACET_VALUES else []
        out.print(f"{name}: {', '.join([*most, *cut]) or 'no value'}", markup=False)


def _moved(text: str) -> tuple[str, str]:
    branch, _, path = text.partition("=")
    if not branch or not path:
        raise UsageError(f"--model is {text!r}; give BRANCH=PATH, such as dense=models/minilm")
    return branch, path


@app.command(epilog=example('hybrid explain stdlib.idx "merge sorted lists" heapq.merge'))
@options_of
def explain(
    index: IndexAddress,
    query: Annotated[str, typer.Argument(help="the query")],
    options: SearchOptions,
    doc_ids: Annotated[
        list[str] | None,
        typer.Argument(help="documents to explain; default: those that the search returns"),
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", "--top-k", help="of the search; default: 10")
    ] = None,
    sentences: Annotated[
        bool, typer.Option(help="encode the sentences, to show those nearest the query")
    ] = True,
    page: Annotated[
        Path | None,
        typer.Option("--html", help="write the explanations into this new HTML file, too"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain scores: each branch's share, and each term's, marked literal or expanded."""
    from hybrid.machine.files import check_new
    from hybrid.machine.outputs import new_output
    from hybrid.report.explanation import explanations_page
    from hybrid.search.index import open_index

    if page is not None:
        check_new(page)
    with open_index(index) as opened:
        found = opened.explain(query, doc_ids or None, k, sentences=sentences, options=options)
        if page is not None:
            documents = [opened.document(each.doc_id) for each in found]
            with new_output(page) as file:
                file.write_text(explanations_page(query, found, documents), encoding="utf-8")
    if as_json:
        print_json({"query": query, "explanations": [each.to_dict() for each in found]})
        return
    for number, each in enumerate(found):
        for line in [*[""][:number], *each.lines()]:
            out.print(line, markup=False)
    if not found:
        err.print("nothing found, so nothing to explain", markup=False)
