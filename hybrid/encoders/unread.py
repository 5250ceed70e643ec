"""Texts that are longer than a model reads: how many, by how much, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CUT, MEDIAN, MOST = "texts_cut", "tokens_unread_median", "tokens_unread_most"


@dataclass(frozen=True)
class Unread:
    """The tokens that the model of one branch left unread.

    Attributes:
        branch: its name.
        passages: whether the texts are passages and no whole documents.
        texts: how many there are.
        tokens: int64, of each text that was cut those beyond what the model reads.
    """

    branch: str
    passages: bool
    texts: int
    tokens: NDArray[np.int64]

    @property
    def alarms(self) -> tuple[str, ...]:
        """The alarm about cut texts, with a remedy; none where the model read all."""
        if not len(self.tokens):
            return ()
        found, unit = self.figures(), "passages" if self.passages else "documents"
        cure = "shorter --passages" if self.passages else "--passages"
        return (
            f"cut: {found[CUT]:,} of {self.texts:,} {unit} are longer than the model of branch "
            f"{self.branch!r} reads, by {found[MEDIAN]:,} tokens in the median and {found[MOST]:,} "
            f"at most, which are not indexed there; build with {cure}",
        )

    def figures(self, before: Mapping[str, Any] | None = None) -> dict[str, int]:
        """Return the figures recorded for a branch, none where the model read all.

        Args:
            before: the record of the texts that were there before these, which are added to it: the
                median is then about that of all.
        """
        old = before or {}
        count, cut = old.get(CUT, 0), len(self.tokens)
        if not cut:
            return {name: old[name] for name in (CUT, MEDIAN, MOST) if name in old}
        middle = (count * old.get(MEDIAN, 0) + cut * float(np.median(self.tokens))) / (count + cut)
        most = max(old.get(MOST, 0), int(self.tokens.max()))
        return {CUT: count + cut, MEDIAN: round(middle), MOST: most}
