"""The error family, checks of arguments, and the import of optional packages.

Every message says what was given, what was expected and what to do.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
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


class ClusterError(HybridError):
    """A cluster that cannot be reached, or that gave a task up; what was finished is kept."""


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


def given(value: object) -> str:
    """Return a value as a message shows it, with its type.

    >>> given("3"), given(True)
    ("'3' (str)", 'True (bool)')
    """
    return f"{value!r:.60} ({type(value).__name__})"


def whole_number(name: str, value: object) -> int:
    """Return ``value`` as an int of 1 or more; true and 2.0 are no whole numbers.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UsageError(f"{name} is {given(value)}; give a whole number, 1 or more")
    if value < 1:
        raise UsageError(f"{name} is {value}; give 1 or more")
    return int(value)


def several_texts(name: str, values: Iterable[str]) -> list[str]:
    """Return ``values`` as a list of texts; one text alone is not taken for its characters.

    Raises:
        UsageError: it is one text, nothing to go through, or holds something else than texts.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"for {name}, {given(values)} was given; give a list of texts")
    found = list(values)
    for place, value in enumerate(found):
        if not isinstance(value, str):
            raise UsageError(f"for {name}, {given(value)} was given at place {place}; give texts")
    return found


def path_of(name: str, value: object) -> Path:
    """Return ``value`` as a path.

    Raises:
        UsageError: it is neither a text nor a path.
    """
    if not isinstance(value, str | PathLike):
        raise UsageError(f"{name} is {given(value)}; give a path")
    return Path(value)


def number(name: str, value: object) -> float:
    """Return ``value`` as a float.

    Raises:
        UsageError: it is no number.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise UsageError(f"{name} is {given(value)}; give a number")
    return float(value)
