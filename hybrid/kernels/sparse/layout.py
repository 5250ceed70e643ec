"""The arrays of an inverted index, and how documents are cut; loads no numba.

Documents stand in an internal order, cut into ranges of 65,536, tiles of 256 and blocks of 16.
A *head* term (one with postings in many tiles) is a stream of 16-bit entries: the low byte is the
step from the place before, less one, the high byte the code. Every tile has an entry for its last
place, with code 0 if need be, so that a tile can be entered without reading those before it and a
step never exceeds 256. A *tail* term stores 16-bit places within its range and, beside them, codes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RANGE = 65536
TILE = 256
BLOCK = 16


class Postings(NamedTuple):
    """The arrays of an inverted index; n documents, V terms, R ranges, H head terms."""

    order: NDArray[np.int32]  # (n,): doc_num at each place
    scales: NDArray[np.float32]  # (V,): a weight is code * scale
    heads: NDArray[np.int32]  # (V,): row of a head term, -1 for a tail term
    spans: NDArray[np.int64]  # (V, 2): start and end in the stream of the term's class
    cuts: NDArray[np.uint32]  # (V, R - 1): where ranges 1.. begin, relative to the start
    head_stream: NDArray[np.uint16]  # entries
    head_starts: NDArray[np.uint16]  # (H, tiles): where a tile begins, relative to its range
    head_maxima: NDArray[np.uint8]  # (H, blocks / 2): levels of block maxima, see pack_maxima
    tail_places: NDArray[np.uint16]
    tail_codes: NDArray[np.generic]  # uint8, or float32 (then there are no head terms)
