"""The error family, and the one door to optional packages.

Every message says what was given, what was expected and what to do.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class HybridError(Exception):
    """Base of every error that this library raises on purpose."""


class UsageError(HybridError, ValueError):
    """An argument, option or printed value that cannot be used."""


class CorpusError(HybridError):
    """A corpus, query or qrels source that is missing, unknown or broken."""


class IndexFormatError(HybridError):
    """An index folder that is absent, of another format version, or not an index."""


class CorruptIndexError(IndexFormatError):
    """An index file whose size or checksum differs from the manifest."""


class OutputExistsError(HybridError):
    """An output path that already exists: nothing is overwritten silently."""


class IndexLockedError(HybridError):
    """Another process is writing to the index."""


class StorageError(HybridError):
    """A disk that is full, read-only or failing while an index is written; says what changed."""


class MemoryLimitError(HybridError):
    """Work that needs more memory than it was allowed; what was finished is kept."""


class DeviceError(HybridError):
    """A GPU that was asked for and failed at work, for instance for want of memory."""


class TransferError(HybridError):
    """A place that an index is copied to or from, and that refuses or cannot be reached."""


class ModelError(HybridError):
    """A model that cannot be found, loaded or trusted."""


class ModelMismatchError(ModelError):
    """A query encoder whose fingerprint differs from the one that built the index."""


class MissingPackageError(HybridError, ImportError):
    """An optional package that is not installed."""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Return the imported ``module``, or say which extra installs it.

    A missing install and a broken one read differently: the second keeps its own error text.

    Raises:
        MissingPackageError: ``module`` is not installed, or is installed and fails to import.

    >>> require("json", extra="cpu", purpose="an example").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.split(".")[0] == error.name.split(".")[0]:
            raise MissingPackageError(
                f"{purpose} needs the package {module!r}, which is not installed. "
                f"Install it with: pip install 'hybrid-retrieval[{extra}]'"
            ) from error
        raise MissingPackageError(
            f"{purpose} needs {module!r}, which is installed but lacks {error.name!r}. "
            f"Reinstall it with: pip install --force-reinstall 'hybrid-retrieval[{extra}]'"
        ) from error
    except ImportError as error:
        raise MissingPackageError(
            f"{purpose} needs {module!r}, which is installed but cannot be imported: {error}. "
            f"Reinstall it with: pip install --force-reinstall 'hybrid-retrieval[{extra}]'"
        ) from error
