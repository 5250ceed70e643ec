from __future__ import annotations

from pathlib import Path

import numpy as np

from hybrid.encoders.models.by_name import load_sparse
from hybrid.encoders.models.from_dense import meaningless_terms, write_untrained_splade


def test_head_gives_literal_terms_and_never_meaningless_ones(
    tiny_dense: Path, tmp_path: Path
) -> None:
    write_untrained_splade(tiny_dense, tmp_path / "splade", decoder_bias=0.0)
    encoder = load_sparse(str(tmp_path / "splade"))
    rows = encoder.encode_documents(["merge sorted lists", "parse json ."])
    assert rows.nnz > 0
    vocabulary = {term: number for number, term in enumerate(encoder.vocabulary)}
    assert not set(rows.indices.tolist()) & set(meaningless_terms(vocabulary))


def test_weight_is_log_saturation_of_the_greatest_logit(tiny_dense: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, BertForMaskedLM

    folder = tmp_path / "splade"
    write_untrained_splade(tiny_dense, folder, decoder_bias=-0.5)
    model = BertForMaskedLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    features = tokenizer(["merge sorted lists"], return_tensors="pt")
    with torch.inference_mode():
        logits = model(**features).logits[0].max(dim=0).values.numpy()
    row = load_sparse(str(folder)).encode_documents(["merge sorted lists"]).toarray()[0]
    np.testing.assert_allclose(row, np.log1p(np.maximum(logits, 0)), atol=1e-5)


def test_lower_bias_gives_fewer_terms(tiny_dense: Path, tmp_path: Path) -> None:
    counts = []
    for bias in (0.0, -1.0, -100.0):
        folder = tmp_path / str(bias)
        write_untrained_splade(tiny_dense, folder, decoder_bias=bias)
        counts.append(load_sparse(str(folder)).encode_documents(["merge sorted lists"]).nnz)
    assert counts[0] > counts[1] >= counts[2] == 0
