"""Score human text, and text of the embedded model's own, under the embedded model: the figures behind its p-values.

    OMP_NUM_THREADS=1 python training/calibrate_lm.py --windows 240 --generated 96

reads the documents that train_lm.py holds out (it fetches the corpus where it is not there), cuts them into pieces that
begin with a paragraph, and writes plogp/text/weights/calibration.json, which `plogp.text.detection.HumanReference`
reads: order statistics of every score by length and kind of text, the rate at which text of a document that is left out
would be flagged, and the area under the ROC curve against text that the model itself generates, plainly and by nucleus
sampling. The first tokens of a piece are a shorter piece, so that all lengths come from one trace. On one core of a CPU
480 pieces of 511 tokens and 96 generated texts of each kind take about eight minutes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lm_corpus import corpus, fetch

import plogp
from plogp.text import evaluate_scores
from plogp.text.detection import conformal_p_values
from plogp.text.human_reference import CALIBRATION, FORMAT
from plogp.text.scores import REGISTRY
from plogp.trace import EMBEDDED, HFPredictor, Trace, embedded_model, load_model, trace

SCORES = ("loss", "rank", "logrank", "lrr", "entropy", "min_k", "min_k_pp", "fast_detect_gpt")
LENGTHS = (32, 64, 128, 256, 512)
SAMPLING = {"plain": 1.0, "top-p 0.9": 0.9}
LEVEL = 0.05
LEAST = 40  # pieces that a kind needs for a reference of its own; with fewer it is only among "all"


def held_out(folder: Path) -> dict[str, dict[str, str]]:
    """Kind -> document -> text of what train_lm.py holds out; as it left it, or gathered again."""
    kept = sorted(folder.glob("tokens-*/held-out.json"))
    if kept:
        return json.loads(kept[-1].read_text())
    fetch(folder)
    out: dict[str, dict[str, str]] = {}
    for kind, split, name, text in corpus(folder):
        if split == "held-out":
            out.setdefault(kind, {})[name] = text
    return out


def pieces(text: str, model: HFPredictor, length: int) -> Iterator[list[int]]:
    """Pieces of `length` tokens that begin with a paragraph and do not overlap."""
    at = 0
    while at < len(text):
        ids = model.encode(text[at : at + 12 * length])[:length]
        if len(ids) < length:
            return
        yield [int(i) for i in ids]
        end = at + len(model.decode(ids))
        paragraph = text.find("\n\n", end)
        at = len(text) if paragraph < 0 else paragraph + 2


def spread(
    documents: dict[str, str], model: HFPredictor, length: int, count: int, rng: Any
) -> list[tuple[str, list[int]]]:
    """Up to `count` pieces, taken from the documents in turn, so that no long one is most of the sample."""
    queues = {name: list(pieces(text, model, length)) for name, text in documents.items()}
    for queue in queues.values():
        rng.shuffle(queue)
    out: list[tuple[str, list[int]]] = []
    while len(out) < count and any(queues.values()):
        out += [(name, queue.pop()) for name, queue in queues.items() if queue]
    return out[:count]


def generated(model: HFPredictor, count: int, length: int, top_p: float, seed: int, batch: int = 48) -> list[list[int]]:
    """Texts of the model, begun with nothing, that do not end before `length` tokens."""
    rows: list[list[int]] = []
    while len(rows) < count:
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed + len(rows))
            start = torch.full((min(batch, count - len(rows)), 1), model.bos_id, device=model.device)
            options = {"do_sample": True, "top_k": 0, "top_p": top_p, "temperature": 1.0, "use_cache": True}
            options |= {"max_new_tokens": length, "min_new_tokens": length, "pad_token_id": model.bos_id}
            out = model.model.generate(start, attention_mask=torch.ones_like(start), **options)
        rows += out[:, 1:].tolist()
    return rows


def by_length(t: Trace, lengths: tuple[int, ...]) -> dict[int, dict[str, np.ndarray]]:
    """Length -> score -> (S,) of the first so many tokens."""
    place = np.arange(len(t.ids)) - np.repeat(t.offsets[:-1], t.lengths)
    return {n: {s: REGISTRY[s](replace(t, scored=t.scored & (place < n))) for s in SCORES} for n in lengths}


def kept_ranks(n: int) -> list[int]:
    """Which order statistics of n are kept: the 20 at either end, and some 60 between."""
    ends = [*range(1, min(n, 20) + 1), *range(max(1, n - 19), n + 1)]
    return sorted({*ends, *np.linspace(1, n, 60).round().astype(int).tolist()})


def order_statistics(found: dict[int, dict[str, np.ndarray]], rows: np.ndarray) -> dict[str, Any]:
    """Length -> the kept order statistics of every score over the texts `rows`."""
    out = {}
    for length, scores in found.items():
        ranks = kept_ranks(len(rows))
        values = {s: np.sort(scores[s][rows])[np.array(ranks) - 1] for s in SCORES}
        rounded = {s: [float(f"{x:.6g}") for x in v] for s, v in values.items()}
        out[str(length)] = {"n": len(rows), "ranks": ranks, "scores": rounded}
    return out


def flagged(found: dict[int, dict[str, np.ndarray]], documents: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """Length -> score -> share of the texts `rows` with p <= 5 % among the texts of all other documents."""
    out: dict[str, Any] = {}
    for length, scores in found.items():
        p = {s: np.empty(len(rows)) for s in SCORES}
        for name in np.unique(documents[rows]):
            inside, rest = documents[rows] == name, documents != name
            for s in SCORES:
                p[s][inside] = conformal_p_values(scores[s][rows][inside], scores[s][rest])
        out[str(length)] = {s: round(float((p[s] <= LEVEL).mean()), 4) for s in SCORES}
    return out


def figure(x: Any) -> dict[str, float]:
    """Value and 95 % interval, rounded."""
    low, high = x.interval()
    return {"value": round(x.value, 4), "low": round(max(low, 0.0), 4), "high": round(min(high, 1.0), 4)}


def power(human: dict[int, dict[str, np.ndarray]], machine: dict[int, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Length -> score -> area under the ROC curve, and true-positive rate at 5 %."""
    out: dict[str, Any] = {}
    for length in human:
        out[str(length)] = {}
        for s in SCORES:
            a, b = machine[length][s], human[length][s]
            result = evaluate_scores(np.concatenate([a, b]), [1] * len(a) + [0] * len(b), fpr=(LEVEL,))
            figures = {"auc": figure(result.auc), "tpr": figure(result.tpr[LEVEL])}
            out[str(length)][s] = figures | {"n_generated": len(a), "n_human": len(b)}
    return out


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=EMBEDDED, help="folder of the model")
    parser.add_argument("--folder", type=Path, default=Path("build/lm-corpus"), help="of the corpus")
    parser.add_argument("--out", type=Path, default=CALIBRATION)
    parser.add_argument("--windows", type=int, default=240, help="pieces of each kind of text, at most")
    parser.add_argument("--generated", type=int, default=96, help="texts by the model, of each way of sampling")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    started = time.time()
    say = sys.stderr.write
    rng = np.random.default_rng(args.seed)
    own = args.model.resolve() == EMBEDDED.resolve()
    model = embedded_model(args.device) if own else load_model(args.model, device=args.device)
    longest = model.max_length - 1  # one place is that of BOS
    lengths = tuple(sorted({min(n, longest) for n in LENGTHS}))
    chosen = {
        kind: spread(documents, model, lengths[-1], args.windows, rng)
        for kind, documents in held_out(args.folder).items()
    }
    kinds = np.concatenate([np.full(len(rows), kind, dtype=object) for kind, rows in chosen.items()])
    documents = np.array([name for rows in chosen.values() for name, _ in rows], dtype=object)
    t = trace(model, [ids for rows in chosen.values() for _, ids in rows], batch_size=8)
    human = by_length(t, lengths)
    say(f"{len(t)} human texts of {len(set(documents))} documents, {time.time() - started:.0f} s\n")

    groups = {"all": np.arange(len(kinds))} | {k: np.flatnonzero(kinds == k) for k in chosen if len(chosen[k]) >= LEAST}
    sampling = {}
    for name, top_p in SAMPLING.items():
        rows = generated(model, args.generated, lengths[-1], top_p, args.seed)
        sampling[name] = power(human, by_length(trace(model, rows, batch_size=8), lengths))
        say(f"{len(rows)} generated texts, {name}, {time.time() - started:.0f} s\n")
    record = {
        "format": FORMAT,
        "written_by": "training/calibrate_lm.py",
        "plogp": plogp.__version__,
        "date": datetime.date.today().isoformat(),
        "seed": args.seed,
        "model": {"name": args.model.name, "fingerprint": model.fingerprint()},
        "scores": SCORES,
        "lengths": lengths,
        "texts": {kind: {"pieces": len(rows), "documents": len(set(documents[rows]))} for kind, rows in groups.items()},
        "human": {kind: order_statistics(human, rows) for kind, rows in groups.items()},
        "flagged_at_5_percent": {kind: flagged(human, documents, rows) for kind, rows in groups.items()},
        "generated": sampling,
        "notes": (
            "Human texts are pieces of English documents of the kinds that the model was trained on, held out from "
            "the training; text from elsewhere is more surprising to the model. Pieces of one document are not "
            "independent. The rates under flagged_at_5_percent are of texts compared with those of all other "
            "documents of all kinds. Generated texts are the model's own, without a prompt; text by other models is "
            "not among them."
        ),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.out.with_name(args.out.name + ".part")
    temporary.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")
    os.replace(temporary, args.out)
    say(f"{args.out}: {args.out.stat().st_size / 1e3:.0f} kB, {time.time() - started:.0f} s\n")


if __name__ == "__main__":
    main()
