"""Measure names: the names of ir_measures, and the ones that the array scorer computes itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybrid.errors import UsageError

_APART = re.compile(r"[,\s]+(?![^()]*\))")
ARRAY_KINDS = {"nDCG": 0, "R": 1, "RR": 2, "AP": 3, "P": 4, "Success": 5}


@dataclass(frozen=True, slots=True)
class ArrayMeasure:
    """A measure that needs only the ranks of relevant documents.

    Attributes:
        name: as ir_measures prints it.
        kind: index into the kernel's kinds.
        cutoff: 0 for none.
        relevance: the least grade that counts as relevant; nDCG takes every grade above 0.
    """

    name: str
    kind: int
    cutoff: int
    relevance: int


def parse_measure(name: str) -> Any:
    """Return the ir_measures measure that ``name`` prints.

    Raises:
        UsageError: not a measure; says what is.

    >>> str(parse_measure("nDCG@10"))
    'nDCG@10'
    """
    import ir_measures

    try:
        return ir_measures.parse_measure(name.strip())
    except (NameError, ValueError, SyntaxError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"measure {name!r} is unknown ({error}); give an ir_measures name such as nDCG@10, "
            "RR@10, R@100, AP, P@5, Judged@10 or AP(rel=2)"
        ) from error


def parse_measures(names: str | Sequence[str]) -> tuple[Any, ...]:
    """Return the measures of a sequence of names, or of one string with commas or spaces.

    Commas and spaces inside parentheses belong to the name.

    Raises:
        UsageError: a name is no measure, or there is none.

    >>> [str(measure) for measure in parse_measures("nDCG@10, RR P(rel=2, judged_only=True)@5")]
    ['nDCG@10', 'RR', 'P(rel=2,judged_only=True)@5']
    """
    listed = _APART.split(names.strip(" ,")) if isinstance(names, str) else list(names)
    listed = [name for name in listed if name]
    if not listed:
        raise UsageError("no measure given; give at least one, such as nDCG@10")
    return tuple(parse_measure(name) for name in listed)


def array_measure(name: str) -> ArrayMeasure:
    """Return the measure in the form that the array scorer reads.

    Raises:
        UsageError: the array scorer has no such measure; lists those that it has.

    >>> array_measure("nDCG@10")
    ArrayMeasure(name='nDCG@10', kind=0, cutoff=10, relevance=1)
    """
    measure = parse_measure(name)
    parameters = dict(measure.params)
    cutoff = int(parameters.pop("cutoff", 0) or 0)
    relevance = int(parameters.pop("rel", 1))
    unusual = {key: value for key, value in parameters.items() if value not in (None, False)}
    if unusual.get("dcg") == "log2":
        unusual.pop("dcg")
    if measure.NAME not in ARRAY_KINDS or unusual or (measure.NAME == "P" and not cutoff):
        raise UsageError(
            f"measure {name!r} cannot be tuned; give one of nDCG@k, R@k, RR@k, AP, P@k, Success@k, "
            "with rel=... where wanted"
        )
    return ArrayMeasure(str(measure), ARRAY_KINDS[measure.NAME], cutoff, relevance)
