"""The tools for assistants, called by the SDK's own client in this process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from mcp.client.client import Client

from hybrid.search.index import open_index
from hybrid.serve.assistants import make_server
from tests.test_serve import dated

__all__ = ["dated"]

QUERY = "merge sorted lists"


def answers(folder: Path, *calls: tuple[str, dict[str, Any]]) -> list[tuple[bool, Any]]:
    """Return of each call whether it failed, and its text, read as JSON where it did not."""

    async def called() -> list[tuple[bool, Any]]:
        found = []
        with open_index(folder) as index:
            async with Client(make_server(index)) as client:
                tools = {tool.name for tool in (await client.list_tools()).tools}
                assert tools == {"search", "explain"}
                for name, given in calls:
                    result = await client.call_tool(name, given)
                    text = result.content[0].text  # type: ignore[union-attr]
                    failed = bool(result.is_error)
                    found.append((failed, text if failed else json.loads(text)))
        return found

    return asyncio.run(called())


def test_tools_return_what_the_library_returns(tiny_index: Path) -> None:
    with open_index(tiny_index) as index:
        hits = index.search(QUERY, 3)
        (explained,) = index.explain(QUERY, ["os.path"])
    (searched, found), (failed, why) = answers(
        tiny_index,
        ("search", {"query": QUERY, "k": 3}),
        ("explain", {"query": QUERY, "doc_id": "os.path"}),
    )
    assert (searched, failed) == (False, False)
    assert [(hit["doc_id"], hit["score"]) for hit in found["hits"]] == [
        (hit.doc_id, hit.score) for hit in hits
    ]
    assert (why["rank"], why["score"]) == (explained.rank, explained.score)


def test_facets_are_counted_over_the_documents_that_the_filter_passes(dated: Path) -> None:
    asked = {"query": QUERY, "k": 1, "facets": ["year"]}
    ((_, every), (_, some)) = answers(
        dated, ("search", asked), ("search", {**asked, "filter": "year > 2019"})
    )
    found = [(each["value"], each["filter"]) for each in every["facets"]["year"]]
    assert found == [(2019, "year == 2019"), (2021, "year == 2021")]
    assert [each["value"] for each in some["facets"]["year"]] == [2021]


def test_an_error_says_what_to_do(tiny_index: Path) -> None:
    for failed, text in answers(
        tiny_index,
        ("search", {"query": " "}),
        ("search", {"query": QUERY, "k": 1_000}),
        ("search", {"query": QUERY, "filter": "colour == 1"}),
        ("search", {"query": QUERY, "facets": ["colour"]}),
        ("explain", {"query": QUERY, "doc_id": "none"}),
    ):
        assert failed
        assert any(word in text for word in ("empty", "at most 100", "colour", "no document"))
