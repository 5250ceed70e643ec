"""Labels of plots, kept apart where their points are close."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid.errors import require


def keep_apart(axes: Any, labels: Sequence[Any]) -> None:
    """Move annotations to the nearest place where each is whole and hides no other and no point."""
    boxes = require("matplotlib.transforms", extra="report", purpose="a plot").Bbox
    for label in labels:
        label.set_in_layout(False)  # where it goes must not move the axes again
    axes.figure.draw_without_rendering()
    room = axes.get_window_extent()
    points = [axes.transData.transform(each.xy) for each in labels if each.xycoords == "data"]
    taken = [boxes.from_extents(x - 3, y - 3, x + 3, y + 3) for x, y in points]
    steps = np.arange(-40, 41)
    moves = sorted(((x, y) for x in 12 * steps for y in 6 * steps), key=lambda xy: np.hypot(*xy))
    for label in labels:
        start = np.array(label.xyann)
        for move in moves:
            label.xyann = tuple(start + move)
            box = label.get_window_extent().padded(2)
            inside = room.containsx(box.x0) and room.containsx(box.x1)
            inside = inside and room.containsy(box.y0) and room.containsy(box.y1)
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
