"""Corpora: Document, Query, and streaming readers of everything that can be indexed.

A source is an ir-datasets id, a BEIR folder, a JSONL, TSV, CSV or Parquet file with chosen columns,
or a bundled collection: ``stdlib``, ``stdlib-hard``, ``stdlib-small``, ``scientific``.
"""

from __future__ import annotations

import os
from pathlib import Path

from hybrid.corpus.files import FileSource, folder_source
from hybrid.corpus.irds import IrDatasetsSource
from hybrid.corpus.passages import Passages
from hybrid.corpus.records import Document, Query, Skipped, Source, SourceOptions
from hybrid.corpus.stdlib.small import NAME, SmallSource
from hybrid.corpus.stdlib.source import COLLECTIONS, StdlibSource
from hybrid.corpus.tables import UNKNOWN_KIND, table_suffix
from hybrid.errors import CorpusError, path_of

__all__ = ["Document", "Passages", "Query", "Skipped", "Source", "SourceOptions", "open_source"]


def open_source(spec: str | Path, *, options: SourceOptions | None = None) -> Source:
    """Return the source that ``spec`` names; no document is read yet.

    ``stdlib``, ``stdlib-hard``, ``stdlib-small`` and ``scientific`` are bundled (a folder of that
    name is ``./stdlib``); then come an existing folder (BEIR), an existing file (by suffix), and an
    ir-datasets id.

    Raises:
        CorpusError: nothing of that name, a file of another kind, or a folder that is not BEIR.
    """
    options = options if options is not None else SourceOptions()
    if isinstance(spec, str) and spec in COLLECTIONS:
        return StdlibSource(spec, options)
    if spec == NAME:
        return SmallSource(options)
    path = path_of("the source", spec)
    if os.path.isdir(path):  # unlike Path.is_dir, no error for a name that is too long
        return folder_source(path, options)
    kind = table_suffix(path)
    if os.path.isfile(path):
        if kind is None:
            raise CorpusError(f"{spec}: {UNKNOWN_KIND}")
        return FileSource([path], options)
    if kind is not None or isinstance(spec, Path) or str(spec).startswith((".", "/", "~")):
        raise CorpusError(f"{spec} does not exist; check the path (~ is not expanded)")
    return IrDatasetsSource(str(spec), options)
