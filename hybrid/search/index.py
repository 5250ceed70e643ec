"""Index: text in, ranked documents out; the branches search side by side over one id space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from threading import Lock
from typing import Any, cast, overload

from hybrid.build.records import BM25, QueryEncoder
from hybrid.build.update import ChangeReport, add_documents, compact_index, delete_documents
from hybrid.corpus import Document
from hybrid.encoders import SparseEncoder
from hybrid.errors import UsageError, whole_number
from hybrid.fusion import Fusion, fuse, parse_fusion, rank
from hybrid.fusion.pool import BranchHits, Pool
from hybrid.fusion.run import Hit, Run
from hybrid.index.documents.subset import SubsetLike
from hybrid.index.hybrid import HybridIndex
from hybrid.index.placement import Placement
from hybrid.index.storage.writer import new_generation
from hybrid.index.summary import IndexSummary, summarise
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.branches import pool_found, search_branch, search_branches
from hybrid.search.encoders import QueryEncoders
from hybrid.search.plan import DEPTH, SearchPlan, chosen_fusion, plan_search
from hybrid.search.queries import named_queries


class Index:
    """An opened hybrid index. Encoders are loaded, and checked, when a text is first searched.

    Threads may search one Index while another thread changes it: each call sees one generation, the
    one that was open when it began, to its end. Several calls see one with `snapshot`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        encoders: Mapping[str, QueryEncoder] | None = None,
        device: str = "auto",
    ) -> None:
        self.directory = Path(directory)
        self._placement = Placement(device)
        self._reopening = Lock()
        self._index = HybridIndex.open(self.directory, self._placement)
        self._encoders = QueryEncoders(encoders, device=self._placement.encoder_device)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._index.document_count

    def __repr__(self) -> str:
        now = self._index
        count, branches = now.document_count, ", ".join(now.branches)
        return f"Index({str(self.directory)!r}, {count} documents, {branches})"

    def snapshot(self) -> Index:
        """Return this index as it is now: what changes this one later does not change that one.

        It shares files and encoders with this one, which stays the one to close.
        """
        return copy(self)

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches, sparse ones first."""
        return self._index.branches

    @property
    def domains(self) -> dict[str, Fusion]:
        """The tuned fusions, by domain name."""
        return {name: parse_fusion(d["fusion"]) for name, d in self._index.domains.items()}

    @property
    def contents(self) -> HybridIndex:
        """The id space, documents and branches underneath."""
        return self._index

    def close(self) -> None:
        """Let go of the files."""
        self._index.close()

    @overload
    def search(
        self,
        query: str,
        k: int | None = ...,
        *,
        fusion: Fusion | str | None = ...,
        domain: str | None = ...,
        depth: int | None = ...,
        filter: str | None = ...,
        recall: float = ...,
    ) -> list[Hit]: ...

    @overload
    def search(
        self,
        query: list[str] | tuple[str, ...] | Mapping[str, str],
        k: int | None = ...,
        *,
        fusion: Fusion | str | None = ...,
        domain: str | None = ...,
        depth: int | None = ...,
        filter: str | None = ...,
        recall: float = ...,
    ) -> Run: ...

    def search(
        self,
        query: str | list[str] | tuple[str, ...] | Mapping[str, str],
        k: int | None = None,
        *,
        fusion: Fusion | str | None = None,
        domain: str | None = None,
        depth: int | None = None,
        filter: str | None = None,
        recall: float = 1.0,
    ) -> list[Hit] | Run:
        """Return the hits of one query, or the Run of several.

        Args:
            query: a text; or texts, which get the query ids "1", "2", ...; or query id to text.
            k: how many documents, 1 or more; of fewer, all are returned; default: 10.
            fusion: how the branches are combined; default: the domain's, or the untuned default.
            domain: use the fusion tuned under this name.
            depth: how deep each branch searches before fusion; default: what the fusion says, or
                1,000, and ``k`` if that is larger.
            filter: search only documents whose fields match, such as ``year >= 2020 and lang ==
                "en"``; see `hybrid.index.documents.filters`.
            recall: 1.0 is exact. Under 1 the sparse branches skip what at build kept this recall on
                sampled queries; ``plan`` says what that means for a search.

        Raises:
            UsageError: an empty query, k below 1, an unknown branch, domain or field, a
                recall that cannot be had.
            ModelMismatchError: a query encoder that is not the one which built the index.
        """
        now = self.snapshot()
        plan = now.plan(k, fusion=fusion, domain=domain, depth=depth, filter=filter, recall=recall)
        named = {"1": query} if isinstance(query, str) else named_queries(query)
        pool = now.pool(
            named,
            depth=plan.depth,
            branches=plan.fusion.branch_names(now.branches),
            filter=filter,
            recall=recall,
        )
        run = rank(pool, fuse(pool, plan.fusion), plan.k)
        return run["1"] if isinstance(query, str) else run

    def plan(
        self,
        k: int | None = None,
        *,
        fusion: Fusion | str | None = None,
        domain: str | None = None,
        depth: int | None = None,
        filter: str | None = None,
        recall: float = 1.0,
    ) -> SearchPlan:
        """Return what a search with these arguments does: its fusion, depth, and how exact it is.

        Raises:
            UsageError: as ``search`` does, the query and the filter aside.
        """
        now = self.snapshot()
        chosen = now.fusion(fusion, domain=domain)
        filtered = filter is not None
        return plan_search(now.contents, k, chosen, depth, recall=recall, filtered=filtered)

    def fusion(self, fusion: Fusion | str | None = None, *, domain: str | None = None) -> Fusion:
        """Return the fusion that a search with these arguments uses.

        A domain that was never tuned takes what was pooled over several, where that is stored.

        Raises:
            UsageError: both are given, the domain was never tuned, or the text does not parse.
        """
        now = self.snapshot()
        return chosen_fusion(fusion, domain, domains=now.domains, branches=now.branches)

    def pool(
        self,
        queries: Mapping[str, str],
        *,
        depth: int = DEPTH,
        branches: Sequence[str] | None = None,
        filter: str | None = None,
        recall: float = 1.0,
    ) -> Pool:
        """Return the candidates of each query with every branch's exact score.

        Args:
            queries: query id to text.
            depth: how deep each branch searches.
            branches: default: all of the index.
            filter: search only documents whose fields match.
            recall: under 1, how much of what sparse branches find is kept: see ``search``.
        """
        now = self.snapshot()
        depth = min(whole_number("depth", depth), max(1, len(now)))
        results = search_branches(
            now.contents,
            now.encoder,
            queries,
            depth,
            branches=tuple(branches or now.branches),
            filter=filter,
            recall=recall,
        )
        return now.pool_of(queries, results, depth)

    def search_branch(
        self,
        name: str,
        encoded: Any,
        depth: int,
        *,
        subset: SubsetLike | None = None,
        recall: float = 1.0,
    ) -> BranchHits:
        """Return what one branch finds for encoded queries; a recall counts for sparse ones."""
        return search_branch(self._index, name, encoded, depth, subset=subset, recall=recall)

    def pool_of(
        self, queries: Mapping[str, str], found: Mapping[str, tuple[Any, BranchHits]], depth: int
    ) -> Pool:
        """Return the pool of what the branches found.

        Args:
            queries: query id to text.
            found: branch to its encoded queries and what it returned for them.
            depth: how deep each branch searched.
        """
        now = self.snapshot()
        return pool_found(now.contents, now.encoder, queries, found, depth)

    def encoder(self, name: str) -> QueryEncoder:
        """Return the query encoder of a branch, loaded once and held against the index.

        Raises:
            ModelMismatchError: it is not the one which built the branch; shows both.
        """
        return self._encoders.get(self._index, name)

    def sparse_encoder(self, name: str) -> SparseEncoder:
        """Return the query encoder of a sparse branch.

        Raises:
            UsageError: the branch is absent or dense.
        """
        now = self.snapshot()
        now.contents.sparse(name)
        encoder = now.encoder(name)
        if not isinstance(encoder, SparseEncoder):
            raise UsageError(f"branch {name!r} has no sparse encoder")
        return encoder

    def document(self, doc_id: str) -> Document:
        """Return a stored document.

        Raises:
            UsageError: the index has no such document.
        """
        return self._index.documents.document(doc_id)

    def store_domain(
        self, name: str, fusion: Fusion, *, report: Mapping[str, Any] | None = None
    ) -> None:
        """Store a fusion under a domain name, as a new generation that reuses every other file."""
        if not name.strip():
            raise UsageError("the name of a domain is empty; give a word")
        fusion.branch_names(self.branches)
        with new_generation(self.directory, create=False) as generation:
            parent = generation.parent
            if parent is None:
                raise UsageError(f"{self.directory} holds no generation to add a domain to")
            generation.reuse(*parent.manifest.files)
            content = dict(parent.content)
            domains = dict(content.get("domains", {}))
            domains[name] = {"fusion": str(fusion), "report": dict(report or {})}
            generation.commit({**content, "domains": domains})
        self.reopen()

    def reopen(self) -> None:
        """Go on with the generation that is current now."""
        with self._reopening:  # or the slower of two would bring back the older generation
            # The one before is not closed: searches may read it; the last to end lets go of it.
            self._index = HybridIndex.open(self.directory, self._placement)
            self._encoders.forget_changed(self._index)

    def add(
        self,
        documents: Iterable[Document],
        *,
        memory: int | None = None,
        progress: StartProgress = no_progress,
    ) -> ChangeReport:
        """Encode and add documents; return what changed. One commit: all of them or none.

        Args:
            documents: read once.
            memory: bytes that the process may hold, Python and models included.
            progress: shows how far it is.

        Raises:
            UsageError: something else than documents.
            CorpusError: no documents, an id twice, or one that is in the index already.
            MemoryLimitError: more memory is needed than is allowed; nothing was changed.
        """
        encoders = self._all_encoders()
        return self._change(
            add_documents(self.directory, documents, encoders, memory=memory, progress=progress)
        )

    def update(
        self,
        documents: Iterable[Document],
        *,
        memory: int | None = None,
        progress: StartProgress = no_progress,
    ) -> ChangeReport:
        """Encode and add documents, in place of those with the same ids; return what changed.

        Arguments and errors are those of `add`, but that an id may be in the index already.
        """
        encoders = self._all_encoders()
        return self._change(
            add_documents(
                self.directory, documents, encoders, update=True, memory=memory, progress=progress
            )
        )

    def delete(self, doc_ids: Iterable[str], *, ignore_missing: bool = False) -> ChangeReport:
        """Delete documents by id; return what changed.

        Raises:
            UsageError: an id that is not in the index, unless ``ignore_missing``; or one text in
                place of a list of ids.
        """
        return self._change(
            delete_documents(self.directory, doc_ids, ignore_missing=ignore_missing)
        )

    def compact(
        self, *, memory: int | None = None, progress: StartProgress = no_progress
    ) -> ChangeReport:
        """Make all segments one, without deleted documents, BM25 fitted anew; return the change.

        Args:
            memory: bytes that the process may hold, Python and models included.
            progress: shows how far it is.

        Raises:
            MemoryLimitError: more memory is needed than is allowed; nothing was changed.
        """
        now = self.snapshot()
        bm25 = {name: now.encoder(name) for name in now._bm25_branches()}
        return self._change(
            compact_index(self.directory, refit=cast(Any, bm25), memory=memory, progress=progress)
        )

    def _change(self, report: ChangeReport) -> ChangeReport:
        self.reopen()
        return report

    def _bm25_branches(self) -> list[str]:
        """Return the branches whose encoder is fitted to the corpus and stored with it."""
        return [name for name, each in self._index.records.items() if each.encoder["model"] == BM25]

    def _all_encoders(self) -> dict[str, QueryEncoder]:
        now = self.snapshot()
        return {name: now.encoder(name) for name in now.branches}

    def info(self) -> IndexSummary:
        """Return what the index holds."""
        return summarise(self.directory, self._index)


def open_index(
    directory: str | Path,
    *,
    encoders: Mapping[str, QueryEncoder] | None = None,
    device: str = "auto",
) -> Index:
    """Return the index in ``directory``: memory-mapped, no model loaded yet.

    Args:
        directory: what `hybrid build` wrote.
        encoders: query encoders by branch, in place of those that the index names; each must have
            the fingerprint that the index records.
        device: where searches run, ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; the hits are the
            same. ``auto`` takes a GPU for batches where there is one; query encoders choose for
            themselves with ``auto`` and follow the device else.

    Raises:
        UsageError: no such device here; says what torch and FAISS found.
        IndexFormatError: no index there, or one of another format version.
        CorruptIndexError: a file is damaged.
    """
    return Index(directory, encoders=encoders, device=device)
