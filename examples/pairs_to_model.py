"""From pairs to a trained SPLADE that plain sentence-transformers loads.

    python examples/pairs_to_model.py pairs.tsv distilbert/distilbert-base-uncased my-model

A line of the file is a query, a tab and a text that answers it. Negatives are the other texts of a
batch; `hybrid train --mine` and `--teacher` make a better model of the same pairs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sentence_transformers import SparseEncoder

import hybrid


def trained(pairs: Path, start: str, output: Path, steps: int = 0) -> Path:
    """Return the folder of the trained model; 0 steps are one pass over the pairs."""
    options = hybrid.TrainOptions(model=start, steps=steps, batch_size=16, max_length=128)
    return hybrid.train(pairs, output, options).model


if __name__ == "__main__":
    file, model, folder = sys.argv[1:4]
    made = trained(Path(file), model, Path(folder), *map(int, sys.argv[4:]))
    encoder = SparseEncoder(str(made))
    vectors = encoder.encode_document(["a heap queue"])
    print(made, encoder.decode(vectors, top_k=5))
