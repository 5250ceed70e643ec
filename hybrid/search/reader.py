"""Reader: an index folder opened to be searched, each call over one generation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, overload

from hybrid.build.records import QueryEncoder
from hybrid.corpus import Document
from hybrid.encoders import SparseEncoder
from hybrid.engines.addresses import checked_address, open_place
from hybrid.errors import IndexFormatError, UsageError, several_texts
from hybrid.fusion import Fusion
from hybrid.fusion.explain import Explanation
from hybrid.fusion.pool import Pool
from hybrid.fusion.run import Hit, Run
from hybrid.index.device import SearchDevice
from hybrid.index.documents.fields import Facets
from hybrid.index.documents.filters import FilterLike
from hybrid.index.hybrid import HybridIndex
from hybrid.index.summary import IndexSummary, summarise
from hybrid.machine.passwords import shown
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.encoders import QueryEncoders
from hybrid.search.options import SearchKeywords, SearchOptions, named_queries, options_given
from hybrid.search.passages import BestPassage
from hybrid.search.plan import SearchPlan
from hybrid.search.tasks import Opening
from hybrid.search.view import View

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from hybrid.build.tasks import Executor

EXPLAINED = "query"


class Reader:
    """An opened index. Encoders are loaded, and checked, when a text is first searched.

    Each call reads one generation, the one that was open when it began, to its end. Several calls
    read one through `view`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        encoders: Mapping[str, QueryEncoder] | None = None,
        models: Mapping[str, str] | None = None,
        device: str = "auto",
        batch_size: int | None = None,
        backend: str | None = None,
        partial: bool = False,
    ) -> None:
        self.address = checked_address(directory)
        self._prepare(encoders, models, device, batch_size, backend, partial)
        self._view = self._opened()

    def _prepare(
        self,
        encoders: Mapping[str, QueryEncoder] | None,
        models: Mapping[str, str] | None,
        device: str,
        batch_size: int | None,
        backend: str | None,
        partial: bool,
    ) -> None:
        self._given = encoders, models, device, batch_size, backend, partial
        self._partial = partial
        self._device = SearchDevice(device)
        self._reopening = Lock()
        where = self.address if isinstance(self.address, str) else self.address.absolute()
        self._opening = Opening(where, device, batch_size, backend)
        placed = self._device.encoder_device
        self._encoders = QueryEncoders(
            encoders, models=models, device=placed, batch_size=batch_size, backend=backend
        )

    def _opened(self) -> View:
        opened = open_place(self.address, self._device, partial=self._partial)
        return View(opened, self._encoders, self._opening)

    @property
    def directory(self) -> Path:
        """The folder.

        Raises:
            UsageError: the index is in an engine, or at a URL.
        """
        if isinstance(self.address, str):
            raise UsageError(
                "an index at an address is not changed or copied there; change the index in its "
                "folder, and push it again"
            )
        return self.address

    def __getstate__(self) -> tuple[Path | str, str, Any]:
        """Return the state by which another process opens the same generation."""
        where = self.address.resolve() if isinstance(self.address, Path) else self.address
        return where, self._view.contents.generation.name, self._given

    def __setstate__(self, state: tuple[Path | str, str, Any]) -> None:
        self.address, generation, given = state
        self._prepare(*given)
        try:
            opened = open_place(self.address, self._device, generation, partial=self._partial)
        except (FileNotFoundError, IndexFormatError) as error:
            raise IndexFormatError(
                f"the generation {generation} of {shown(self.address)} is gone since the index was "
                "handed to this process; open it here with hybrid.open"
            ) from error
        self._view = View(opened, self._encoders, self._opening)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._view)

    def __repr__(self) -> str:
        now, name = self._view, type(self).__name__
        return (
            f"{name}({str(shown(self.address))!r}, {len(now)} documents, {', '.join(now.branches)})"
        )

    def view(self) -> View:
        """Return a view of the index as it is now; later changes do not change it.

        It shares files and encoders with the index, which stays the one to close.
        """
        return self._view

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches, sparse ones first."""
        return self._view.branches

    @property
    def domains(self) -> dict[str, Fusion]:
        """The tuned fusions, by domain name."""
        return dict(self._view.domains)

    @property
    def contents(self) -> HybridIndex:
        """The id space, documents and branches underneath."""
        return self._view.local

    def close(self) -> None:
        """Let go of the files."""
        self._view.contents.close()

    def reopen(self) -> None:
        """Go on with the generation that is current now."""
        with self._reopening:  # or the slower of two would bring back the older generation
            # The one before is not closed: searches may read it; the last to end lets go of it.
            self._view = self._opened()
            self._encoders.forget_changed(self._view.contents)

    @overload
    def search(
        self,
        query: str,
        k: int | None = ...,
        *,
        options: SearchOptions | None = ...,
        progress: StartProgress = ...,
        **keywords: Unpack[SearchKeywords],
    ) -> list[Hit]: ...

    @overload
    def search(
        self,
        query: list[str] | tuple[str, ...] | Mapping[str, str],
        k: int | None = ...,
        *,
        options: SearchOptions | None = ...,
        progress: StartProgress = ...,
        executor: Executor | None = ...,
        **keywords: Unpack[SearchKeywords],
    ) -> Run: ...

    def search(
        self,
        query: str | list[str] | tuple[str, ...] | Mapping[str, str],
        k: int | None = None,
        *,
        options: SearchOptions | None = None,
        progress: StartProgress = no_progress,
        executor: Executor | None = None,
        **keywords: Unpack[SearchKeywords],
    ) -> list[Hit] | Run:
        """Return the hits of one query, or the Run of several.

        Args:
            query: a text; or texts, which get the query ids "1", "2", ...; or query id to text.
            k: how many documents, 1 or more; of fewer, all are returned; default: 10.
            options: how to search.
            progress: shows how far a reranking is.
            executor: searches the queries elsewhere, see `hybrid.integrations.clusters.dask`; the
                hits are the same, and have no documents and snippets.
            **keywords: the same one by one: ``fusion``, ``domain``, ``depth``, ``filter``;
                see `SearchOptions`.

        Raises:
            UsageError: an empty query, k below 1, an unknown branch, domain or field.
            ModelMismatchError: a query encoder that is not the one which built the index.
        """
        view = self._view
        plan = view.plan(k, options_given(options, keywords))
        named = {"1": query} if isinstance(query, str) else named_queries(query)
        if executor is None:
            result = view.search(named, plan, progress)
            run = result.run.bound(view.hit_sources(result))
        else:
            run = view.search(named, plan, progress, view.pool(named, plan, executor)).run
        return run["1"] if isinstance(query, str) else run

    def explain(
        self,
        query: str,
        doc_ids: Sequence[str] | None = None,
        k: int | None = None,
        *,
        sentences: bool = False,
        options: SearchOptions | None = None,
        **keywords: Unpack[SearchKeywords],
    ) -> list[Explanation]:
        """Return why each document has its fused score: a share a branch, a part a term.

        Args:
            query: a text.
            doc_ids: documents of the index; default: those that the search returns.
            k: of the search, as its options are; see `search`.
            sentences: with the sentences nearest the query in the dense branches, which are
                encoded for it; that takes most of the time.
            options: how to search.
            **keywords: the same one by one.

        Raises:
            UsageError: as `search` does, or a document that the index does not have.
            ModelMismatchError: a query encoder that is not the one which built the index.
        """
        view = self._view
        plan = view.plan(k, options_given(options, keywords))
        wanted = None if doc_ids is None else several_texts("doc_ids", doc_ids)
        for doc_id in wanted or ():
            view.contents.documents.doc_num(doc_id)  # before a model is loaded
        result = view.search({EXPLAINED: several_texts("query", [query])[0]}, plan)
        doc_ids = result.run.doc_ids(EXPLAINED) if wanted is None else wanted
        return result.explain(doc_ids, sentences=sentences)

    def best_passages(
        self, query: str, doc_ids: Sequence[str], branches: Sequence[str] | None = None
    ) -> list[tuple[BestPassage, ...]]:
        """Return the best passages of each document for a query; see `View.best_passages`."""
        return self._view.best_passages(query, several_texts("doc_ids", doc_ids), branches)

    def facets(self, hits: Run | Iterable[Hit | str], fields: Sequence[str]) -> Facets:
        """Return how many of the hits hold each value of each field: field to value to count.

        Values come most frequent first, ties by value; dates are ISO texts. A document counts
        once, even if several queries of a run found it, and each value of a list once a document.

        Args:
            hits: of one query, or their ids, or a run; as many as were searched for, so
                ``index.facets(index.search(query, k=100), ["tags"])``.
            fields: names of fields.

        Raises:
            UsageError: a field or document that the index does not have.
        """
        return self._view.facets(hits, fields)

    def plan(
        self,
        k: int | None = None,
        *,
        options: SearchOptions | None = None,
        **keywords: Unpack[SearchKeywords],
    ) -> SearchPlan:
        """Return the plan of a search with these arguments: fusion, depth, and exactness.

        Raises:
            UsageError: as `search` does, the query aside.
        """
        return self._view.plan(k, options_given(options, keywords))

    def fusion(self, fusion: Fusion | str | None = None, *, domain: str | None = None) -> Fusion:
        """Return the fusion that a search with these arguments uses; see `View.fusion`."""
        return self._view.fusion(SearchOptions(fusion=fusion, domain=domain))

    def pool(
        self,
        queries: Sequence[str] | Mapping[str, str],
        *,
        depth: int | None = None,
        branches: Sequence[str] | None = None,
        filter: FilterLike | None = None,
        executor: Executor | None = None,
    ) -> Pool:
        """Return the candidates of each query with every branch's exact score.

        Args:
            queries: query id to text; or texts, which get the query ids "1", "2", ...
            depth: how deep each branch searches; default: 1,000.
            branches: default: all of the index.
            filter: search only documents whose fields match.
            executor: searches the queries elsewhere; see `search`.
        """
        view = self._view
        options = SearchOptions(depth=depth, filter=filter)
        return view.pool(named_queries(queries), view.pool_plan(options, branches), executor)

    def encoder(self, name: str) -> QueryEncoder:
        """Return the query encoder of a branch; see `View.encoder`."""
        return self._view.encoder(name)

    def sparse_encoder(self, name: str) -> SparseEncoder:
        """Return the query encoder of a sparse branch; see `View.sparse_encoder`."""
        return self._view.sparse_encoder(name)

    def document(self, doc_id: str) -> Document:
        """Return a stored document; see `View.document`."""
        return self._view.document(doc_id)

    def info(self) -> IndexSummary:
        """Return a summary of the index."""
        return summarise(shown(self.address), self._view.contents)
