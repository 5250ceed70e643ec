"""``hybrid search`` and ``hybrid explain``: a ranked list, and why a document is where it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.app import app, err, example, out, print_json
from hybrid.cli.options import (
    OUT,
    AsJson,
    Dask,
    Device,
    IndexAddress,
    QueryBackend,
    Shown,
    executor_of,
    options_of,
    print_skipped,
    refuse_given,
)
from hybrid.cli.output import one_line, print_hit, progress_bars
from hybrid.corpus.records import SourceOptions, field_names
from hybrid.errors import UsageError
from hybrid.search.options import SearchOptions

if TYPE_CHECKING:
    from hybrid.search.index import Index
    from hybrid.search.plan import SearchPlan
    from hybrid.search.view import View

FACET_VALUES = 10
QUERIES = ("queries", "query_id_column", "query_text_column", "skip_bad")


@app.command(epilog=example('hybrid search stdlib.idx "merge sorted lists" -k 5'))
@options_of
def search(
    context: typer.Context,
    index: IndexAddress,
    options: SearchOptions,
    reading: Annotated[SourceOptions, Shown(only=QUERIES)],
    query: Annotated[str | None, typer.Argument(help="the query; or give --queries")] = None,
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
    output: Annotated[
        Path | None, typer.Option(*OUT, help="of --queries: TREC run file, must not exist")
    ] = None,
    dask: Dask = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Search an index with one query, and show the part of each document that says most of it.

    The hits of all queries of a file are written as a run.
    """
    from hybrid.search.index import open_index

    names, models = field_names(facets), dict(map(_moved, model or []))
    running: dict[str, Any] = {"device": device, "backend": backend and backend.value}
    if query is None and reading.queries is not None and output is not None:
        refuse_given(context, ["facets", "as_json"], "beside --queries, which writes a run")
        with open_index(index, models=models, **running) as opened:
            _write_run(opened, k, options, reading, dask, output)
        return
    if query is None or reading.queries is not None or output is not None:
        raise UsageError("give one query to see its hits, or --queries FILE with --output RUN")
    refuse_given(context, ["dask", *QUERIES[1:]], "without --queries")
    with open_index(index, models=models, **running) as opened:
        view = opened.view()
        _show_hits(view, query, view.plan(k, options), names, as_json=as_json)


def _show_hits(
    view: View, query: str, plan: SearchPlan, facets: Sequence[str], *, as_json: bool
) -> None:
    from hybrid.index.documents.fields import facet_rows

    view.contents.documents.check_fields(facets)
    result = view.search({"1": query}, plan)
    hits = result.run.bound(view.hit_sources(result))["1"]
    counted = result.facets(facets)
    if as_json:
        rows = [hit.to_dict() for hit in hits]
        shown = facet_rows(counted) if facets else None
        print_json({"query": query, "fusion": str(plan.fusion), "hits": rows, "facets": shown})
        return
    for hit in hits:
        print_hit(hit)
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


def _write_run(
    index: Index,
    k: int | None,
    options: SearchOptions,
    reading: SourceOptions,
    dask: str | None,
    output: Path,
) -> None:
    """Search all queries of a file, and write their run."""
    from hybrid.corpus.judged import as_judged
    from hybrid.machine.files import check_new

    check_new(output)
    if output.suffix == ".gz":
        raise UsageError(f"{output}: a run is written as plain text; give a name without .gz")
    source = as_judged((reading.queries, {}), reading)
    queries = {each.query_id: each.text for each in source.queries()}
    print_skipped(source.skipped_queries, err)
    if not queries:
        raise UsageError(f"{reading.queries} holds no queries; give a file with at least one")
    with executor_of(dask) as executor, progress_bars(err) as start:
        run = index.search(queries, k, options=options, progress=start, executor=executor)
    run.write_trec(output)
    fusion = index.plan(k, options=options).fusion
    out.print(f"{output}: {len(run):,} queries, ranked by {fusion}", markup=False)


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
