"""Index: an index folder opened to be searched and changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.build.options import AddOptions, CompactOptions
from hybrid.build.records import QueryEncoder
from hybrid.corpus import SourceOptions
from hybrid.corpus.handed import Documents, as_source
from hybrid.fusion import Fusion
from hybrid.machine.cache import CacheChoice
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.reader import Reader

if TYPE_CHECKING:
    from hybrid.build.update import ChangeReport


class Index(Reader):
    """An opened hybrid index. Encoders are loaded, and checked, when a text is first searched.

    Threads may search one Index while another thread changes it: each call reads one generation,
    the one that was open when it began, to its end. Several calls read one through `view`.
    """

    # The modules that write are loaded by the methods that need them: most processes only read.

    def store_domain(
        self, name: str, fusion: Fusion | str, *, report: Mapping[str, Any] | None = None
    ) -> None:
        """Store a fusion under a domain name, as a new generation that reuses every other file.

        Raises:
            UsageError: an empty name, or a fusion of branches that the index does not have.
        """
        from hybrid.index.change import store_domain

        fusion = self.fusion(fusion)
        fusion.branch_names(self.branches)
        store_domain(self.directory, name, str(fusion), report or {})
        self.reopen()

    def add(
        self,
        documents: Documents,
        *,
        reading: SourceOptions | None = None,
        cache: CacheChoice = True,
        memory: int | None = None,
        progress: StartProgress = no_progress,
    ) -> ChangeReport:
        """Encode and add documents; return what changed. One commit: all of them or none.

        Args:
            documents: whatever holds them; see `hybrid.corpus.handed.as_source`.
            reading: which columns hold id, title, text and fields, unless it is a source already;
                default: the fields of the index.
            cache: where encodings are kept: True for the user's cache, False for none, or a folder.
            memory: bytes that the process may hold, Python and models included.
            progress: shows how far it is.

        Raises:
            UsageError: something else than documents.
            CorpusError: no documents, an id twice, or one that is in the index already.
            MemoryLimitError: more memory is needed than is allowed; nothing was changed.
        """
        return self._add(documents, reading, AddOptions(False, cache, memory), progress)

    def update(
        self,
        documents: Documents,
        *,
        reading: SourceOptions | None = None,
        cache: CacheChoice = True,
        memory: int | None = None,
        progress: StartProgress = no_progress,
    ) -> ChangeReport:
        """Encode and add documents, in place of those with the same ids; return what changed.

        Arguments and errors are those of `add`, but that an id may be in the index already.
        """
        return self._add(documents, reading, AddOptions(True, cache, memory), progress)

    def delete(self, doc_ids: Iterable[str], *, ignore_missing: bool = False) -> ChangeReport:
        """Delete documents by id; return what changed.

        Raises:
            UsageError: an id that is not in the index, unless ``ignore_missing``; or one text in
                place of a list of ids.
        """
        from hybrid.build.update import delete_documents

        return self._change(
            delete_documents(self.directory, doc_ids, ignore_missing=ignore_missing)
        )

    def compact(
        self,
        *,
        purge: bool = False,
        fields: tuple[str, ...] | str = (),
        cache: CacheChoice = True,
        memory: int | None = None,
        progress: StartProgress = no_progress,
    ) -> ChangeReport:
        """Make all segments one, without deleted documents, BM25 fitted anew; return the change.

        Args:
            purge: remove the earlier generations, too, and what the cache knows of texts that are
                gone, so that no byte of a deleted document is left.
            fields: fields whose values are read as another type: ``day:date`` makes dates of ISO
                texts, ``tags:list`` lists of texts with ``;`` between. Nothing is encoded.
            cache: which cache that is, as in `add`.
            memory: bytes that the process may hold, Python and models included.
            progress: shows how far it is.

        Raises:
            UsageError: a field that the index does not have, or one without a type.
            CorpusError: a value that cannot be read as that type; nothing was changed.
            MemoryLimitError: more memory is needed than is allowed; nothing was changed.
            IndexLockedError: somebody else reads a generation that is to be purged.
        """
        from hybrid.build.update import compact_index

        return self._change(
            compact_index(
                self.directory,
                CompactOptions(purge, fields, cache, memory),
                let_go=self.reopen,
                progress=progress,
            )
        )

    def _change(self, report: ChangeReport) -> ChangeReport:
        self.reopen()
        return report

    def _add(
        self,
        documents: Documents,
        reading: SourceOptions | None,
        options: AddOptions,
        progress: StartProgress,
    ) -> ChangeReport:
        """Return the report of an addition of documents."""
        from hybrid.build.update import add_documents

        view = self._view
        known = view.contents.documents.field_kinds
        source = as_source(documents, replace(reading or SourceOptions(), index_fields=known))

        def encoders() -> dict[str, QueryEncoder]:
            return {name: view.encoder(name) for name in view.branches}

        return self._change(
            add_documents(self.directory, source, encoders, options, progress=progress)
        )


def open_index(
    directory: str | Path,
    *,
    encoders: Mapping[str, QueryEncoder] | None = None,
    models: Mapping[str, str] | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    backend: str | None = None,
    partial: bool = False,
) -> Index:
    """Return the index in ``directory``: memory-mapped, no model loaded yet.

    Args:
        directory: the folder that `hybrid build` wrote, or the address that `hybrid push` filled:
            an engine, such as ``postgresql://host/db``, or a URL, such as ``s3://bucket/name``,
            whose files are fetched into the cache.
        encoders: query encoders by branch, in place of those that the index names; each must have
            the fingerprint that the index records.
        models: branch to the folder or hub id of its model, where it has moved since the build;
            it must be the same model.
        device: where searches run, ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; the hits are the
            same. ``auto`` takes a GPU for batches where there is one; query encoders choose for
            themselves with ``auto`` and follow the device else.
        batch_size: texts that a model encodes at once; None is as many as suit the device.
        backend: what runs queries; None is what the index records, or torch, with a warning, where
            that cannot run here.
        partial: of an index on several servers, leave out those that do not answer, and warn of
            the documents that are missing; else that is an error.

    Raises:
        MissingPackageError: the package of the engine or the URL is not installed.
        TransferError: the place does not answer, or refuses.
        UsageError: no such device here; says what torch and FAISS found.
        IndexFormatError: no index there, or one of another format version.
        CorruptIndexError: a file is damaged.
    """
    return Index(
        directory,
        encoders=encoders,
        models=models,
        device=device,
        batch_size=batch_size,
        backend=backend,
        partial=partial,
    )
