"""The reader of printed fusions: ``name`` or ``name(key=value, ...)``."""

from __future__ import annotations

import re
from typing import NamedTuple

from hybrid.errors import UsageError
from hybrid.fusion.signatures import METHODS, accepted_arguments, signature

WHOLE = re.compile(r"\s*([A-Za-z0-9_.\-]+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_ARGUMENT = re.compile(r"\s*([a-z]+)\s*=\s*(\([^()]*\)|[^,()\s]+)\s*(?:,|$)")


class _Arguments(NamedTuple):
    parameters: tuple[tuple[str, float], ...]
    alpha: float | None
    weights: tuple[tuple[str, float], ...] | None
    norm: str
    branches: tuple[str, ...] | None
    depth: int | None


def read_arguments(text: str, method: str, inner: str) -> _Arguments:
    accepted = accepted_arguments(method)
    values: dict[str, str] = {}
    position = 0
    while inner[position:].strip():
        match = _ARGUMENT.match(inner, position)
        if match is None:
            raise UsageError(
                f"cannot read {inner[position:].strip()!r} in {text!r}; {method} takes "
                f"{', '.join(accepted)}, each as name=value"
            )
        key, value = match.groups()
        if key in values:
            raise UsageError(f"{key!r} occurs twice in {text!r}; give it once")
        if key not in accepted:
            raise UsageError(f"{method} takes no {key!r}; it takes {', '.join(accepted)}")
        values[key] = value
        position = match.end()
    own = signature(method).parameters
    return _Arguments(
        parameters=tuple((k, _float(v, k, text)) for k, v in values.items() if k in own),
        alpha=_float(values["alpha"], "alpha", text) if "alpha" in values else None,
        weights=_weights(values["weights"], text) if "weights" in values else None,
        norm=values.get("norm", ""),
        branches=tuple(_items(values["branches"], text)) if "branches" in values else None,
        depth=_depth(values["depth"], text) if "depth" in values else None,
    )


def _items(value: str, text: str) -> list[str]:
    items = [item.strip() for item in value.strip("()").split(",")]
    if not value.startswith("(") or not all(items):
        raise UsageError(f"cannot read {value!r} in {text!r}; expected (name, name, ...)")
    return items


def _weights(value: str, text: str) -> tuple[tuple[str, float], ...]:
    pairs = [item.partition(":") for item in _items(value, text)]
    if any(not separator for _, separator, _ in pairs):
        raise UsageError(f"cannot read {value!r} in {text!r}; expected (name:weight, ...)")
    return tuple((name.strip(), _float(number, "weight", text)) for name, _, number in pairs)


def _depth(value: str, text: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise UsageError(f"depth in {text!r} is {value!r}; give a whole number") from error


def _float(value: str, name: str, text: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"{name} in {text!r} is {value!r}; give a number") from error


def accepted_methods() -> str:
    return (
        f"give a branch name, or one of {', '.join(METHODS)} with arguments, "
        "for instance rrf(k=60) or cc(alpha=0.5, norm=tmm)"
    )
