"""Examples of docstrings as code blocks: a doctest needs no heading above it."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^>>> (?:.+\n?)+", re.MULTILINE)


def fenced(text: str) -> str:
    """Return a docstring with each doctest between fences."""
    return EXAMPLE.sub(lambda match: f"```python\n{match.group(0).rstrip()}\n```\n", text).rstrip()


class Doctests(Extension):
    """Fences the doctests of every object before its docstring is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of ``obj`` in place."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
