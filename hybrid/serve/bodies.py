"""The bodies of requests, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(min_length=1, max_length=2_000)]
Value = str | int | float | bool
Depth = Annotated[int, Field(ge=1, le=1_000_000)]


class Body(BaseModel):
    """A request body without unknown keys."""

    model_config = ConfigDict(extra="forbid")


class Asked(Body):
    """A query and how it is searched: see `hybrid.search.options.SearchOptions`.

    ``rerank`` asks for the reranker that the server was started with.
    """

    query: Text = Field(examples=["merge sorted lists"])
    k: int = Field(10, ge=1)
    fusion: Name | None = Field(None, examples=["rrf(k=60)"])
    domain: Name | None = None
    depth: Depth | None = None
    filter: Text | None = Field(None, examples=["year >= 2020"])
    distinct: bool = False
    rerank: bool = False


class SearchBody(Asked):
    """A search: ``explain``, ``candidates`` and ``facets`` ask for more beside the hits."""

    explain: bool = False
    candidates: bool = False
    facets: list[Name] = Field(default_factory=list, max_length=20)


class ExplainBody(Asked):
    """A question why a document has its rank, or has none; ``sentences`` asks for the nearest."""

    doc_id: Name
    sentences: bool = False


class DocumentBody(Body):
    """A document to store."""

    doc_id: Name
    text: str
    title: str = ""
    fields: dict[str, Value | list[Value] | None] = Field(default_factory=dict)


class AddBody(Body):
    """Documents to add; ``update`` lets them replace those of the same ids."""

    documents: list[DocumentBody] = Field(min_length=1)
    update: bool = False


class DeleteBody(Body):
    """Documents to delete, by id."""

    doc_ids: list[Name] = Field(min_length=1)


class JudgmentBody(Body):
    """A judgment of one document for a query, made on the page."""

    query: Text
    doc_id: Name
    grade: int = Field(ge=0, le=3)
    who: str = Field("", max_length=100)
    shown: list[Name] = Field(default_factory=list, max_length=100)
