"""Measure names: the names of ir_measures, and the ones that the array scorer computes itself.

Every number of a measure is held to its range here: the packages that compute measures take it as
it is, and some of them end the interpreter or answer for another number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybrid.errors import UsageError, given, several_texts

_APART = re.compile(r"[,\s]+(?![^()]*\))")
_FORM = re.compile(r"\s*(\w+)\s*((?:\([^()]*\))?\s*(?:@\s*[\w.]+)?)\s*")
MOST = 2**31 - 1
GRADE = 10_000
"""The greatest grade and gain: pytrec_eval holds a place for each grade up to the greatest, and its
nDCG takes the square of that in time; at a million it runs for minutes, at 2^31 - 1 it crashes."""
RANGES: dict[str, tuple[float, float]] = {
    "cutoff": (1, MOST),
    "rel": (1, MOST),
    "min_rel": (0, MOST - 1),
    "max_rel": (1, MOST),
    "gains": (0, GRADE),
    "recall": (0, 1),
    "p": (0.001, 0.999),
    "alpha": (0, 1),
    "beta": (0.001, 1000),
    "T": (0.001, MOST),
}
"""The least and the greatest value of each number of a measure."""
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

    @property
    def graded(self) -> bool:
        """Whether grades count as gains, against the ideal order; else only which are relevant."""
        return self.kind == ARRAY_KINDS["nDCG"]


def parse_measure(name: str) -> Any:
    """Return the ir_measures measure that ``name`` prints; names of measures go in any case.

    Raises:
        UsageError: not a measure, a parameter that it does not take, one out of its range, or
            one that is lacking; says what is accepted.

    >>> str(parse_measure("ndcg@10")), str(parse_measure("map"))
    ('nDCG@10', 'AP')
    """
    import ir_measures

    known = {str(each).lower(): str(each) for each in ir_measures.measures.registry}
    try:
        form = _FORM.fullmatch(name)
        if form is None:
            raise ValueError("the form is NAME, NAME@number or NAME(parameter=value, ...)@number")
        word = form[1]
        measure = ir_measures.parse_measure(known.get(word.lower(), word) + form[2])
    except (
        *(NameError, ValueError, SyntaxError, TypeError, KeyError, AttributeError),
        *(RecursionError, MemoryError),
    ) as error:
        raise UsageError(
            f"measure {name!r:.200} is unknown ({error!s:.200}); give an ir_measures name such as "
            "nDCG@10, RR@10, R@100, AP, P@5, Judged@10 or AP(rel=2)"
        ) from error
    return _checked(measure)


def _checked(measure: Any) -> Any:
    """Return the measure, its whole numbers as floats where it takes these.

    Raises:
        UsageError: as ``parse_measure``.
    """
    parameters, taken = dict(measure.params), measure.SUPPORTED_PARAMS
    for name, value in parameters.items():
        if name not in taken:
            accepted = ", ".join(taken) or "nothing"
            raise UsageError(f"measure {measure.NAME} takes no {name!r}; it takes {accepted}")
        what = f"{name} of measure {measure.NAME}"
        if taken[name].dtype is dict and not isinstance(value, dict):
            raise UsageError(f"{what} is {given(value)}; give grades and gains, as {{1:1,2:3}}")
        for number in [*value, *value.values()] if taken[name].dtype is dict else [value]:
            _check_value(what, name, taken[name], number)
        if taken[name].dtype is float:
            parameters[name] = float(value)
    for name, info in taken.items():
        if info.required and name not in parameters:
            form = f"@{10 if name == 'cutoff' else 0.5}" if name == measure.AT_PARAM else None
            raise UsageError(
                f"measure {measure} needs {name}; give it, as in "
                f"{measure.NAME}{form or f'({name}=3)'}"
            )
    if not parameters.get("min_rel", 0) < parameters.get("max_rel", MOST):
        raise UsageError(f"min_rel of measure {measure.NAME} is not below its max_rel")
    return measure(**parameters)


def _check_value(what: str, name: str, info: Any, value: object) -> None:
    if name not in RANGES:
        accepted = (True, False) if info.dtype is bool else info.choices
        if type(value) is not info.dtype or value not in accepted:
            raise UsageError(f"{what} is {given(value)}; give {' or '.join(map(repr, accepted))}")
        return
    least, greatest = RANGES[name]
    kind = (int, float) if info.dtype is float else (int,)
    if type(value) not in kind or not least <= value <= greatest:  # type: ignore[operator]
        number = "a number" if info.dtype is float else "a whole number"
        raise UsageError(f"{what} is {given(value)}; give {number} from {least} to {greatest}")
    if name == "recall" and round(float(value), 2) != value:  # type: ignore[arg-type]
        raise UsageError(f"{what} is {value}; give two decimals at most, as 0.25")


def parse_measures(names: str | Sequence[str]) -> tuple[Any, ...]:
    """Return the measures of a sequence of names, or of one string with commas or spaces.

    Commas and spaces inside parentheses belong to the name.

    Raises:
        UsageError: a name is no measure, or there is none.

    >>> [str(measure) for measure in parse_measures("nDCG@10, RR P(rel=2, judged_only=True)@5")]
    ['nDCG@10', 'RR', 'P(rel=2,judged_only=True)@5']
    """
    listed = _APART.split(names.strip(" ,")) if isinstance(names, str) else names
    listed = [name for name in several_texts("measures", listed) if name]
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
    if measure.NAME not in ARRAY_KINDS or unusual:
        raise UsageError(
            f"measure {name!r} cannot be tuned; give one of nDCG@k, R@k, RR@k, AP, P@k, Success@k, "
            "with rel=... where wanted"
        )
    return ArrayMeasure(str(measure), ARRAY_KINDS[measure.NAME], cutoff, relevance)
