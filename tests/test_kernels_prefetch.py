from __future__ import annotations

import numpy as np
import pytest

from hybrid.kernels.sparse.prefetch import prefetch_run


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("span", [(0, 0), (0, 1), (3, 999), (990, 5000)])
def test_asking_changes_nothing_and_never_faults(kind, span):
    array = np.arange(1000).astype(kind)
    before = array.copy()
    prefetch_run(array, *span)
    np.testing.assert_array_equal(array, before)
