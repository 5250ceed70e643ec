"""Train builtin:splade and builtin:splade-doc from all-MiniLM-L6-v2 and pairs of texts.

    python pipelines/train_builtin.py PAIRS WORK [--prepare]

PAIRS holds NAME.jsonl.gz with {"query", "positive"} a line, as named in train_builtin.json. WORK is
made; it gets the log and at the end the folder ``release``, whose two files are what the package
ships. Called again after an interruption, it goes on where it was.

The frozen layers run once over every text, then the head alone is trained on the stored states
(with "layers": 1 the last layer too). The teacher is the sum of BM25 over wordpieces and MiniLM's
cosine, which is better than either. Every tenth document is held out, and all choices are made by
ranking these; no evaluation collection is read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from builtin_training.head import Stage, StageRun, shift_bias, starting_point, train_stage
from builtin_training.held_out import HeldOut
from builtin_training.pairs import Drawn, Source, documents_of, draw_pairs
from builtin_training.teaching import Taught, Weights, teach
from hybrid.encoders.bm25 import inverse_document_frequency
from hybrid.encoders.models.by_name import MINILM_SHA256, model_folder
from hybrid.encoders.models.from_dense import DOCUMENT_TERMS, MAX_LENGTH, QUERY_TERMS
from hybrid.encoders.pooling import multiplies_bfloat16
from hybrid.training.prepare import StateOptions, Texts, prepare
from hybrid.training.states import Trained

PACKAGES = ("torch", "transformers", "sentence-transformers", "numpy")
JUDGED = ("splade", "splade + dense", "splade-doc", "splade-doc + dense")
"""A choice is made by the mean over these of the mean over the sources."""
SEEDS_APART = 1000
"""Between the seeds of two stages, so that each draws its own pairs."""
CONFIGURED = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Backbone:
    """The dense encoder that is trained from."""

    bert: Any
    tokenizer: Any


def backbone(folder: Path) -> Backbone:
    """Return the dense encoder of ``folder``, without dropout."""
    bert = AutoModel.from_pretrained(str(folder), attn_implementation="sdpa")
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return Backbone(bert, AutoTokenizer.from_pretrained(str(folder)))


def draw(pairs: Path, config: dict[str, Any]) -> Drawn:
    """Return the training pairs and the held-out ones."""
    held, sources = config["held_out"], [Source(**source) for source in config["sources"]]
    return draw_pairs(
        pairs,
        sources,
        seed=config["seed"],
        held_out_share=held["share"],
        held_out_queries=held["queries"],
        held_out_documents=held["documents"],
        repeats=config["repeats"],
    )


def document_frequency(pairs: Path, size: int, tokenizer: Any, config: dict[str, Any]) -> Any:
    """Return int64 (vocabulary + 1,): documents with each term, then documents in all.

    All documents of the files count, not only those that are trained on.
    """
    names = dict.fromkeys(source["name"] for source in config["sources"])
    frequency = np.zeros(size + 1, dtype=np.int64)
    texts = list(documents_of(pairs, names, config["idf_documents"]))
    for start in range(0, len(texts), 4096):
        chunk = tokenizer(texts[start : start + 4096], truncation=True, max_length=512)
        terms = [np.unique(ids) for ids in chunk["input_ids"]]
        frequency[:-1] += np.bincount(np.concatenate(terms), minlength=size)
    frequency[-1] = len(texts)
    return frequency


def prepared(drawn: Drawn, base: Backbone, work: Path, config: dict[str, Any]) -> dict[str, Texts]:
    """Return the states of all texts: queries and documents, of training and held out."""
    held = [pair for pairs in drawn.held_out.values() for pair in pairs]
    told = dict.fromkeys([*(text for _, text in held), *drawn.distractors])
    low = config["bfloat16"] and multiplies_bfloat16()
    wanted = {
        "held_out_queries": (dict.fromkeys(query for query, _ in held), None),
        "held_out_documents": (told, None),
        "queries": (dict.fromkeys(query for query, _ in drawn.train), "query"),
        "documents": (dict.fromkeys(text for _, text in drawn.train), "document"),
    }
    found = {}
    for name, (texts, kind) in wanted.items():
        sizes = config["held_out"] if kind is None else config
        prefix = "" if kind is None else f"{kind}_"
        options = StateOptions(
            sizes[f"{prefix}tokens"],
            sizes[f"{prefix}candidates"],
            before=bool(config["layers"]),
            bfloat16=low and kind is not None,
            workers=config["threads"],
        )
        found[name] = prepare(list(texts), base.bert, base.tokenizer, work / name, options)
    return found


class Log:
    """Lines of JSON, on stdout and in a file that an interrupted run goes on with."""

    def __init__(self, path: Path) -> None:
        self._path, self._start = path, time.monotonic()

    def __call__(self, event: str, figures: Mapping[str, Any]) -> None:
        """Write one line."""
        row = {"event": event, "seconds": round(time.monotonic() - self._start)} | dict(figures)
        line = json.dumps(row, default=float)
        print(line, flush=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def rounded(figures: Any) -> Any:
    """Return nested figures with four decimals."""
    if isinstance(figures, Mapping):
        return {name: rounded(value) for name, value in figures.items()}
    return round(figures, 4) if isinstance(figures, float) else figures


def judged(figures: Mapping[str, Any]) -> float:
    """Return the one figure that choices are made by."""
    return float(np.mean([figures[name]["mean"] for name in JUDGED]))


@dataclass(frozen=True)
class Material:
    """Texts, negatives and held-out pairs that every seed starts from."""

    base: Backbone
    taught: Taught
    rows: NDArray[np.int64]
    held: HeldOut
    rarity: NDArray[np.float32]

    def measure(self, trained: Trained) -> dict[str, Any]:
        """Return the figures of the held-out pairs."""
        return self.held.measure(trained, self.base.tokenizer)


def tensors_of(trained: Trained, given: Material) -> dict[str, torch.Tensor]:
    """Return the trained tensors by the names under which they are shipped."""
    last = len(given.base.bert.encoder.layer) - 1
    tensors = {f"head.{k}": v for k, v in trained.head.state_dict().items() if k != "decoder"}
    for number, layer in enumerate(reversed(trained.layers)):
        tensors |= {f"layer.{last - number}.{k}": v for k, v in layer.state_dict().items()}
    tensors["static.weight"] = trained.free.clamp(min=0)
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}


def with_tensors(tensors: Mapping[str, torch.Tensor], trained: Trained) -> Trained:
    """Return ``trained`` with the weights of :func:`tensors_of`."""
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        parts.setdefault(kind, {})[rest] = value.float()
    trained.head.load_state_dict(parts["head"] | {"decoder": trained.head.decoder})
    if trained.layers:
        layer = {name.partition(".")[2]: value for name, value in parts["layer"].items()}
        trained.layers[0].load_state_dict(layer)
    return Trained(trained.head, parts["static"]["weight"], trained.layers)


def release(
    trained: Trained, given: Material, folder: Path, config: dict[str, Any], log: Log
) -> None:
    """Choose the density by the held-out pairs, and write the two files that the package ships."""
    best, shifted = (-1.0, 0.0), 0.0
    for shift in config["released_shifts"]:
        shift_bias(trained.head, shift - shifted)
        shifted = shift
        figures = given.measure(trained)
        log("shift", {"shift": shift, "judged": judged(figures)} | rounded(figures))
        best = max(best, (round(judged(figures), 4), shift))
    shift_bias(trained.head, best[1] - shifted)
    full = given.measure(trained)
    folder.mkdir(exist_ok=True)
    path = folder / "splade.safetensors"
    tensors = tensors_of(trained, given)
    save_file({name: value.half() for name, value in tensors.items()}, str(path))
    half = with_tensors(load_file(str(path)), trained)
    figures = given.measure(half)
    names = [name for name in full if isinstance(full[name], dict)]
    lost = {name: full[name]["mean"] - figures[name]["mean"] for name in names}
    log("float16", {"lost": {name: round(value, 6) for name, value in lost.items()}})
    log("released", {"shift": best[1], "judged": judged(figures)} | rounded(figures))
    record = {
        "base": "sentence-transformers/all-MiniLM-L6-v2",
        "base_sha256": MINILM_SHA256,
        "document_terms": DOCUMENT_TERMS,
        "query_terms": QUERY_TERMS,
        "max_length": MAX_LENGTH,
        "precision": "float16",
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "shift": best[1],
        "config_sha256": hashlib.sha256(json.dumps(config).encode()).hexdigest(),
        "versions": {name: version(name) for name in PACKAGES},
        "held_out": rounded({name: figures[name]["mean"] for name in names}),
    }
    (folder / "splade.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def material(pairs: Path, work: Path, config: dict[str, Any], log: Log) -> Material:
    """Return texts, negatives and held-out pairs, made once and kept in ``work``."""
    base = backbone(model_folder("builtin:minilm").path)
    drawn = draw(pairs, config)
    counted = work / "frequency.npy"
    if not counted.is_file():
        size = len(base.tokenizer)
        np.save(counted, document_frequency(pairs, size, base.tokenizer, config))
    frequency = np.load(counted)
    rarity = inverse_document_frequency(frequency[:-1], int(frequency[-1]))
    rarity = np.minimum(rarity, config["idf_largest"]).astype(np.float32)
    texts = prepared(drawn, base, work, config)
    described = {name: [len(found.texts), len(found.ids)] for name, found in texts.items()}
    log("texts and tokens", described | {"pairs": len(drawn.train), "idf": int(frequency[-1])})
    weights = Weights(**config["teacher"])
    held = HeldOut.of(
        drawn.held_out, texts["held_out_queries"], texts["held_out_documents"], rarity, weights
    )
    log("baselines", rounded(held.baselines()))
    taught = teach(
        texts["queries"],
        texts["documents"],
        drawn.train,
        rarity,
        weights,
        negatives=config["mined"],
        kept=work / "negatives.npz",
    )
    rows = np.flatnonzero(taught.rank <= config["deepest_rank"])
    log("teacher", {"pairs": len(rows), "found first": float((taught.rank == 1).mean())})
    return Material(base, taught, rows, held, rarity)


def start_of(given: Material, config: dict[str, Any]) -> Trained:
    """Return head, looked-up weights and layers before training."""
    bert = AutoModel.from_config(given.base.bert.config, attn_implementation="sdpa")
    bert.load_state_dict(given.base.bert.state_dict())
    return starting_point(
        bert, given.base.tokenizer, given.rarity, config["start"], config["layers"]
    )


def train_seed(seed: int, given: Material, work: Path, config: dict[str, Any], log: Log) -> Trained:
    """Return the trained parts of one seed after all stages; they are kept in ``work``."""
    trained = start_of(given, config)
    finished = work / f"seed-{seed}.safetensors"
    if finished.is_file():
        return with_tensors(load_file(str(finished)), trained)

    def measure(now: Trained) -> Mapping[str, Any]:
        figures = given.measure(now)
        return {"seed": seed, "judged": round(judged(figures), 4)} | rounded(figures)

    log("start", measure(trained))
    for number, settings in enumerate(config["stages"]):
        stage = Stage(**settings, seed=seed + SEEDS_APART * number)
        torch.manual_seed(seed)
        log(f"stage {number}", asdict(stage))
        run = StageRun(
            work / f"seed-{seed}-stage-{number}",
            checkpoint_steps=config["checkpoint_steps"],
            logging_steps=config["logging_steps"],
            report=lambda step, figures: log(f"step {step}", {"seed": seed} | rounded(figures)),
            measure=measure,
        )
        trained = train_stage(given.taught, given.rows, stage, trained, given.base.tokenizer, run)
    save_file(tensors_of(trained, given), str(finished))
    log("end", measure(trained))
    return trained


def averaged(several: Sequence[Trained], given: Material, config: dict[str, Any]) -> Trained:
    """Return the mean of the weights."""
    tensors = [tensors_of(each, given) for each in several]
    mean = {
        name: torch.stack([found[name] for found in tensors]).mean(dim=0) for name in tensors[0]
    }
    return with_tensors(mean, start_of(given, config))


def main(
    pairs: Path,
    work: Path,
    config: dict[str, Any],
    *,
    seed: int | None = None,
    prepare_only: bool = False,
) -> None:
    """Run the unfinished steps of the pipeline; see the text at the top."""
    torch.set_num_threads(config["threads"])
    work.mkdir(parents=True, exist_ok=True)
    log = Log(work / ("train_builtin.log" if seed is None else f"seed-{seed}.log"))
    given = material(pairs, work, config, log)
    if prepare_only:
        return
    if seed is not None:
        train_seed(seed, given, work, config, log)
        return
    found = {f"seed {n}": train_seed(n, given, work, config, log) for n in config["seeds"]}
    if len(found) > 1:
        found["mean of the seeds"] = averaged(list(found.values()), given, config)
    scores = {}
    for name, each in found.items():
        figures = given.measure(each)
        scores[name] = judged(figures)
        log(name, {"judged": round(scores[name], 4)} | rounded(figures))
    best = max(scores, key=scores.__getitem__)
    log("chosen", {"model": best})
    release(found[best], given, work / "release", config, log)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--prepare", action="store_true", help="stop before training")
    parser.add_argument("--seed", type=int, help="train this seed alone, beside others")
    parser.add_argument("--threads", type=int, help="in place of those of the configuration")
    args = parser.parse_args()
    configured = CONFIGURED | ({"threads": args.threads} if args.threads else {})
    main(args.pairs, args.work, configured, seed=args.seed, prepare_only=args.prepare)
