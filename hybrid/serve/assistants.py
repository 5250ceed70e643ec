"""A server of the Model Context Protocol: the tools search and explain, for assistants."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from hybrid.errors import HybridError
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from hybrid.serve.service import Service
from hybrid.version import __version__

MOST_HITS = 100
SHOWN = ("rank", "doc_id", "score", "title", "text", "fields")
CLIPPED = 2_000
"""Characters of a document's text that an assistant is given."""


def make_server(index: Index) -> MCPServer:
    """Return the server over an opened index, which the caller closes."""
    service = Service(index)
    server = MCPServer(
        "hybrid",
        version=__version__,
        instructions=f"Search {len(index)} documents by their words and their meaning.",
    )

    @server.tool()
    def search(
        query: str, k: int = 10, filter: str | None = None, facets: list[str] | None = None
    ) -> dict[str, Any]:
        """Return the documents that fit a query best: rank, doc_id, score, title, text, fields.

        Args:
            query: words or a question.
            k: how many documents, at most 100.
            filter: only documents whose fields match, such as year >= 2020.
            facets: fields whose values are counted over the first hundred documents; each value
                comes with the filter that keeps its documents.
        """
        if k > MOST_HITS:
            raise ToolError(f"k is too large; give at most {MOST_HITS}")
        options = SearchOptions(filter=filter)
        found = _asked(lambda: service.search(query, k, options, facets=facets or ()))
        hits = [{name: hit[name] for name in SHOWN} for hit in found["hits"]]
        return {**found, "hits": [{**hit, "text": hit["text"][:CLIPPED]} for hit in hits]}

    @server.tool()
    def explain(query: str, doc_id: str) -> dict[str, Any]:
        """Return why a document has its rank for a query: each branch's and each term's share."""
        return _asked(lambda: service.explain(query, doc_id, SearchOptions()))

    return server


def _asked(call: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = call()
    except HybridError as error:
        raise ToolError(str(error)) from error
    return answer
