"""The docstrings of the standard library, or of NumPy and SciPy, as JSON lines on stdout.

Run as a program in its own process (``python -I -S docstrings.py``), so that what the imports
do never reaches the caller. It imports nothing outside the standard library, unless it is given
the argument ``scientific``.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

# Left out: what opens windows or prints when imported, what only some machines have, and the
# implementations behind another public name.
_SKIPPED_NAMES = """
    antigravity crypt ctypes.macholib curses distutils encodings ensurepip genericpath idlelib
    lib2to3 msilib msvcrt nis nt ntpath nturl2path opcode ossaudiodev posix posixpath pydoc_data
    pyexpat spwd sre_compile sre_constants sre_parse test this tkinter turtle turtledemo winreg
    winsound
"""
SKIPPED = frozenset(_SKIPPED_NAMES.split())
WITHOUT_PARTS = frozenset({"asyncio"})  # the package itself offers all that its modules do
_SCIENTIFIC = """
    numpy numpy.exceptions numpy.fft numpy.lib.format numpy.lib.scimath numpy.lib.stride_tricks
    numpy.linalg numpy.ma numpy.polynomial numpy.polynomial.chebyshev numpy.polynomial.hermite
    numpy.polynomial.legendre numpy.polynomial.polynomial numpy.random numpy.strings scipy
    scipy.cluster.hierarchy scipy.cluster.vq scipy.constants scipy.differentiate scipy.fft
    scipy.integrate scipy.interpolate scipy.io scipy.io.arff scipy.io.wavfile scipy.linalg
    scipy.ndimage scipy.odr scipy.optimize scipy.signal scipy.signal.windows scipy.sparse
    scipy.sparse.csgraph scipy.sparse.linalg scipy.spatial scipy.spatial.distance
    scipy.spatial.transform scipy.special scipy.stats scipy.stats.contingency scipy.stats.qmc
"""
FAILED_IMPORT = (ImportError, OSError, RuntimeError, AttributeError, ValueError)
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def public_modules() -> Iterator[ModuleType]:
    """Yield the public modules that import here, in name order, packages before their parts."""
    for name in sorted(sys.stdlib_module_names):
        if not name.startswith("_") and name not in SKIPPED:
            yield from _walk(name)


def _walk(name: str) -> Iterator[ModuleType]:
    try:
        module = importlib.import_module(name)
    except FAILED_IMPORT:
        return
    yield module
    places = [] if name in WITHOUT_PARTS else getattr(module, "__path__", [])
    for part in sorted(info.name for info in pkgutil.iter_modules(places)):
        if not part.startswith(("_", "test")) and f"{name}.{part}" not in SKIPPED:
            yield from _walk(f"{name}.{part}")


def named_objects() -> Iterator[tuple[str, Any]]:
    """Yield ``(qualified name, object)`` for every public name, aliases included."""
    for module in public_modules():
        yield module.__name__, module
        yield from _members(module.__name__, module)
        if module.__name__ == "os":
            yield from _members("os.path", module.path)


def scientific_objects() -> Iterator[tuple[str, Any]]:
    """Yield the same for NumPy and SciPy: no methods, but whatever can be called.

    Their functions over arrays and their distributions are instances with docstrings.
    """
    for name in _SCIENTIFIC.split():
        module = importlib.import_module(name)
        yield name, module
        for each in sorted(set(getattr(module, "__all__", vars(module)))):
            found = getattr(module, each, None)
            if not each.startswith("_") and callable(found) and not inspect.ismodule(found):
                yield f"{name}.{each}", found


def _members(prefix: str, module: ModuleType) -> Iterator[tuple[str, Any]]:
    listed = getattr(module, "__all__", None)
    for name in sorted(vars(module) if listed is None else set(listed)):
        found = getattr(module, name, None)
        if name.startswith("_") or not (inspect.isclass(found) or inspect.isroutine(found)):
            continue
        if listed is None and not _at_home(found, module.__name__):
            continue
        yield f"{prefix}.{name}", found
        if inspect.isclass(found):
            yield from _methods(f"{prefix}.{name}", found)


def _at_home(found: Any, module: str) -> bool:
    """Return whether an object of a module without ``__all__`` is its own, not an import."""
    home = getattr(found, "__module__", None) or module
    return (
        module == "builtins" or home.startswith("_") or home.split(".")[0] == module.split(".")[0]
    )


def _methods(prefix: str, owner: type) -> Iterator[tuple[str, Any]]:
    """Yield the methods and properties that a class defines, or first has from a hidden base."""
    parents = [base for base in owner.__mro__[1:] if not _is_hidden(base, owner)]
    known = {base for parent in parents for base in parent.__mro__}
    members: dict[str, Any] = {}
    for base in (base for base in owner.__mro__ if base not in known):
        members = {**vars(base), **members}
    for name, found in sorted(members.items()):
        if name.startswith("_") or inspect.isclass(found):
            continue
        if isinstance(found, staticmethod | classmethod):
            found = getattr(owner, name)
        described = inspect.isroutine(found) or inspect.isgetsetdescriptor(found)
        if described or isinstance(found, property):
            yield f"{prefix}.{name}", found


def _is_hidden(base: type, owner: type) -> bool:
    if base.__module__.split(".")[0] not in {owner.__module__.split(".")[0], "_io"}:
        return False
    listed = getattr(sys.modules.get(base.__module__), "__all__", [base.__name__])
    return base.__name__.startswith("_") or base.__name__ not in listed


def preference(name: str, found: Any) -> tuple[bool, bool, int, bool, int, str]:
    """Return a key that is smallest for the name under which the documentation has an object."""
    own = getattr(found, "__name__", None)
    home = getattr(found, "__module__", None)
    return (
        not name.startswith("builtins."),
        own is not None and not inspect.ismodule(found) and name.rpartition(".")[2] != own,
        name.count("."),
        home is not None and not name.startswith(f"{home.lstrip('_')}."),
        len(name),
        name,
    )


def signature(found: Any) -> str:
    """Return the parameters as text, the same in every process; empty where unknown.

    Annotations are left out, and so are defaults that are not short constants: their printed
    forms hold addresses, paths and streams.
    """
    try:
        known = inspect.signature(found)
    except (ValueError, TypeError, NameError, AttributeError):
        return ""
    parameters = []
    for parameter in known.parameters.values():
        if parameter.name == "self":
            continue
        default = parameter.default
        if default is not inspect.Parameter.empty and not _is_short_constant(default):
            default = ...
        parameters.append(parameter.replace(default=default, annotation=inspect.Parameter.empty))
    text = str(inspect.Signature(parameters))
    return ADDRESS.sub("", text).replace("Ellipsis", "...")


def _is_short_constant(value: Any) -> bool:
    if isinstance(value, str) and os.path.isabs(value):
        return False
    return value is None or (
        type(value) in {bool, int, float, str, bytes} and len(repr(value)) < 40
    )


def docstring(found: Any) -> str:
    """Return the object's own docstring (of a class else its constructor's), or nothing."""
    text = getattr(found, "__doc__", None)
    if inspect.isclass(found) and not text:
        text = getattr(vars(found).get("__init__"), "__doc__", None)
    text = ADDRESS.sub("", inspect.cleandoc(text)).strip() if isinstance(text, str) else ""
    made_up = inspect.isclass(found) and re.fullmatch(rf"{found.__name__}(\(.*\))?", text)
    return "" if made_up else text


def documents(objects: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield ``(id, title, text)`` in id order: an object, and a docstring, only once."""
    names: dict[int, tuple[str, Any]] = {}
    for name, found in objects:
        identity = id(getattr(found, "__func__", found))
        known = names.get(identity)
        if known is None or preference(name, found) < preference(*known):
            names[identity] = (name, found)
    kept: dict[str, tuple[str, Any]] = {}
    for name, found in sorted(names.values(), key=lambda pair: preference(*pair)):
        if text := docstring(found):
            kept.setdefault(text, (name, found))
    for text, (name, found) in sorted(kept.items(), key=lambda item: item[1][0]):
        instance = not (inspect.isclass(found) or inspect.isroutine(found))
        yield name, name + ("" if instance else signature(found)), text


def main() -> None:
    """Write the documents, with everything that the imports print thrown away."""
    warnings.simplefilter("ignore")
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines, open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
            objects = scientific_objects() if "scientific" in sys.argv[1:] else named_objects()
            for document in documents(objects):
                lines.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
