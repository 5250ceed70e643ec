"""The web application: the JSON API with its OpenAPI document, and the search page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from hybrid.corpus import Document
from hybrid.errors import (
    CorpusError,
    HybridError,
    IndexFormatError,
    IndexLockedError,
    TransferError,
    UsageError,
)
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from hybrid.serve.bodies import AddBody, Asked, DeleteBody, ExplainBody, JudgmentBody, SearchBody
from hybrid.serve.guard import Counts, Guard, RefusedError, error_body
from hybrid.serve.judge import Judge
from hybrid.serve.log import SearchLog
from hybrid.serve.options import ServeOptions
from hybrid.serve.service import NoDocumentError, Service, both
from hybrid.version import __version__

PAGE = Path(__file__).parent / "page"
ASSETS = {each.name for each in PAGE.iterdir()}
LOG = logging.getLogger(__name__)
STATUSES = (
    (NoDocumentError, 404),
    (UsageError, 400),
    (CorpusError, 400),
    (IndexLockedError, 409),
    (HybridError, 503),
)
Result = TypeVar("Result")


def make_app(index: Index, options: ServeOptions) -> Any:
    """Return the ASGI application over an opened index, guarded.

    Args:
        index: opened, and closed by the caller.
        options: limits, names, keys, and whether requests may change the index.

    Raises:
        UsageError: the filter of a key does not fit the index.
    """
    service, counts = Service(index), Counts()
    service.check_filters(list(options.keys.values()))
    app = FastAPI(title="hybrid", version=__version__, redoc_url=None, docs_url=None)
    _add_errors(app)
    _add_searches(app, service, options)
    _add_reads(app, service, options, counts)
    if options.writable:
        _add_changes(app, index)
    if options.judge is not None:
        _add_judging(app, service, Judge(options.judge))
    _add_page(app)
    guarded = Guard(app, options, counts)
    if not options.origins:
        return guarded
    headers = ["x-api-key", "authorization", "content-type"]
    return CORSMiddleware(
        guarded, allow_origins=sorted(options.origins), allow_methods=["*"], allow_headers=headers
    )


def _add_searches(app: FastAPI, service: Service, options: ServeOptions) -> None:
    log = None if options.log is None else SearchLog(options.log, options.log_text)

    def searched(request: Request, asked: Asked) -> SearchOptions:
        if len(asked.query) > options.most_characters:
            raise UsageError(
                f"the query has {len(asked.query):,} characters; give at most "
                f"{options.most_characters:,}"
            )
        if asked.k > options.most_hits:
            raise UsageError(f"k is too large; give at most {options.most_hits:,}")
        if asked.rerank and options.rerank is None:
            raise UsageError("this server reranks nothing; start it with hybrid serve --rerank")
        return SearchOptions(
            fusion=asked.fusion,
            domain=asked.domain,
            depth=asked.depth,
            filter=both(request.state.filter, asked.filter),
            distinct=asked.distinct,
            rerank=options.rerank if asked.rerank else None,
        )

    @app.post("/search", response_model=dict[str, Any])
    def search(request: Request, asked: SearchBody) -> Response:
        """Search the index."""
        began = time.perf_counter()
        found = service.search(
            asked.query,
            asked.k,
            searched(request, asked),
            explain=asked.explain,
            candidates=asked.candidates,
            facets=asked.facets,
        )
        found["milliseconds"] = round(1000 * (time.perf_counter() - began), 2)
        if log is not None:
            log.add(found, {"filter": asked.filter, "k": asked.k, "rerank": asked.rerank})
        return JSONResponse(found)  # plain values already: as a dict they would be walked again

    @app.post("/explain")
    def explain(request: Request, asked: ExplainBody) -> dict[str, Any]:
        """Explain a document's score, whether or not it was returned."""
        return service.explain(
            asked.query,
            asked.doc_id,
            searched(request, asked),
            request.state.filter,
            asked.k,
            sentences=asked.sentences,
        )


def _add_reads(app: FastAPI, service: Service, options: ServeOptions, counts: Counts) -> None:
    @app.get("/document")
    def document(request: Request, id: Annotated[str, Query(min_length=1)]) -> dict[str, Any]:
        """Return a document by any id, given as a parameter."""
        return service.document(id, request.state.filter)

    @app.get("/documents/{doc_id:path}")
    def document_by_path(request: Request, doc_id: str) -> dict[str, Any]:
        """Return a document by its id, which may hold slashes."""
        return service.document(doc_id, request.state.filter)

    @app.get("/fusions")
    def fusions() -> dict[str, Any]:
        """Return the default fusion and the tuned ones."""
        return service.fusions()

    @app.get("/index")
    def info() -> dict[str, Any]:
        """Return the contents of the index, and what this server lets one do with it."""
        allowed = {"writable": options.writable, "judge": options.judge is not None}
        return {**service.info(), **allowed, "rerank": options.rerank}

    @app.get("/health")
    def health() -> dict[str, str]:
        """Return that the server answers, and can read the index."""
        service.check()
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> str:
        """Return counts in Prometheus' text format."""
        return counts.text(len(service.index))


def _add_changes(app: FastAPI, index: Index) -> None:
    writing = threading.Lock()

    def alone(request: Request, change: Callable[[], Result]) -> Result:
        if request.state.filter:
            raise RefusedError(403, "a key with a filter may read, not change the index")
        if not writing.acquire(blocking=False):
            raise IndexLockedError("another change is at work; try again when it is done")
        try:
            return change()
        finally:
            writing.release()

    @app.post("/documents")
    def add(request: Request, asked: AddBody) -> dict[str, Any]:
        """Add documents, all or none; readers go on meanwhile."""
        made = [Document(d.doc_id, d.text, d.title, d.fields) for d in asked.documents]
        change = index.update if asked.update else index.add
        report = alone(request, lambda: change(made))
        return {"added": report.added, "replaced": report.replaced, "documents": len(index)}

    @app.post("/documents/delete")
    def delete(request: Request, asked: DeleteBody) -> dict[str, Any]:
        """Delete documents by id."""
        report = alone(request, lambda: index.delete(asked.doc_ids))
        return {"deleted": report.deleted, "documents": len(index)}


def _add_judging(app: FastAPI, service: Service, judge: Judge) -> None:
    @app.post("/judgments")
    def add(request: Request, asked: JudgmentBody) -> dict[str, str]:
        """Append a judgment to queries.tsv and qrels."""
        service.document(asked.doc_id, request.state.filter)
        judge.add(asked.query, asked.doc_id, asked.grade, who=asked.who, shown=asked.shown)
        return {"query_id": judge.query_id(asked.query)}


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/page/{name}", include_in_schema=False)
    def asset(name: str) -> FileResponse:
        if name not in ASSETS:
            raise HTTPException(404)
        return FileResponse(PAGE / name)


def _add_errors(app: FastAPI) -> None:
    def answer(status: int, message: str) -> Response:
        return Response(error_body(message), status, media_type="application/json")

    def with_status(status: int) -> Any:
        return lambda request, error: answer(status, str(error))

    for kind, status in STATUSES:
        app.add_exception_handler(kind, with_status(status))

    @app.exception_handler(IndexFormatError)
    @app.exception_handler(TransferError)
    def away(request: Request, error: HybridError) -> Response:  # its text says where the index is
        LOG.error("%s", error)
        return answer(503, "the index cannot be read now; the log of the server says why")

    @app.exception_handler(RefusedError)
    def refused(request: Request, error: RefusedError) -> Response:
        return answer(error.status, str(error))

    @app.exception_handler(HTTPException)
    def unknown(request: Request, error: HTTPException) -> Response:
        return answer(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()[0]
        if found["loc"] == ("body",) and "json" not in request.headers.get("content-type", ""):
            return answer(
                422, "the body must be JSON; send the header Content-Type: application/json"
            )
        where = ".".join(str(part) for part in found["loc"][1:])
        return answer(422, f"{where or 'the request'}: {found['msg']}")

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> Response:  # the guard logs it
        return answer(500, "the server failed; its log says where")
