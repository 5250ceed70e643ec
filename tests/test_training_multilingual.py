"""Multilingual backbones: other tokenisers, other special tokens, text without spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hybrid.encoders.models.by_name import load_sparse
from hybrid.training import Example, train
from tests.test_training import made_options

TEXTS = [
    "Wie sortiert man zwei Listen?",
    "Сортировка двух списков",
    "如何合并两个列表",
    "كيف أدمج قائمتين",
    "two sorted lists, merged",
    "Öffne die Datei zum Lesen",
    "ファイルを開く",
    "open the file",
]
TRAINER_TEXTS = TEXTS * 4


def xlm_roberta(folder: Path) -> None:
    """A random XLM-RoBERTa with a SentencePiece-style unigram vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForMaskedLM

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    settings = {"vocab_size": 160, "special_tokens": special, "unk_token": "<unk>"}
    tokenizer.train_from_iterator(
        TRAINER_TEXTS, trainers.UnigramTrainer(show_progress=False, **settings)
    )
    ends = [("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=ends
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip
    fast.save_pretrained(folder)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=66,
        pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    XLMRobertaForMaskedLM(config).save_pretrained(folder)


def multilingual_bert(folder: Path) -> None:
    """A random cased BERT whose WordPiece vocabulary has many scripts."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    pieces = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    pieces.train_from_iterator(TRAINER_TEXTS, vocab_size=220, show_progress=False)
    fast = BertTokenizerFast(tokenizer_object=pieces._tokenizer, do_lower_case=False)
    fast.save_pretrained(folder)
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(), hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    BertForMaskedLM(config).save_pretrained(folder)


@pytest.mark.parametrize("make", [xlm_roberta, multilingual_bert])
def test_a_multilingual_backbone_is_trained_and_encodes(make: Any, tmp_path: Path) -> None:
    folder = tmp_path / "backbone"
    folder.mkdir()
    make(folder)
    rows = [Example(text, TEXTS[place - 4]) for place, text in enumerate(TEXTS)]
    options = made_options(folder, held_out=2, batch_size=2)
    report = train(rows, tmp_path / "out", options)
    assert report.steps == 2
    encoder = load_sparse(str(report.model))
    weights = encoder.encode_documents([*TEXTS, ""])
    assert (weights.getnnz(axis=1) > 0).tolist() == [True] * len(TEXTS) + [False]
    active = {encoder.vocabulary[number] for number in weights.indices}
    assert not active & {"<s>", "</s>", "<pad>", "<mask>", "[CLS]", "[SEP]", "[PAD]", "[MASK]"}
    assert not any(term.strip("▁#") in (",", "?") for term in active)
    assert any(not term.isascii() and term.strip("▁").isalpha() for term in active)
    for text in TEXTS:
        assert encoder.literal_terms(text)
    assert encoder.literal_terms("Öffne") != encoder.literal_terms("offne")
