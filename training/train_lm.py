"""Train the language model that plogp carries (plogp/trace/weights/lm): a small LLaMA over bytes and byte pairs.

    OMP_NUM_THREADS=1 python training/train_lm.py --minutes 65 --out plogp/trace/weights/lm
    python training/train_lm.py --device cuda --minutes 25 --batch 64 --start plogp/trace/weights/lm --out build/lm

The text comes from Debian packages (`lm_corpus.py`) and is turned into tokens once, in --folder. Muon moves the
matrices of the blocks, AdamW the rest; the step warms up, stays, and goes down to 0 in the last part of the time that
is left, by the clock. An average of the weights is what is written, every --every minutes, whole or not at all.
``--evaluate`` only evaluates what is at --out, beside gzip, zstd and xz, and writes evaluation.json there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from lm_corpus import corpus, fetch, plain
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

KINDS = {"prose": 0.68, "documentation": 0.18, "source": 0.14}  # shares of the training windows
BOS = "<|text|>"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def train_tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Byte pairs over all 256 bytes, so that every text is made of them; token 0 starts a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[BOS], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def prepare(folder: Path, vocabulary: int, rng: int) -> tuple[Tokenizer, dict[str, np.ndarray], dict[str, str]]:
    """The tokenizer, the tokens of the training text of each kind, and the text held out of each kind."""
    at = folder / f"tokens-{vocabulary}"
    if not (at / "held-out.json").exists():
        fetch(folder)
        at.mkdir(parents=True, exist_ok=True)
        documents = list(corpus(folder))
        random = np.random.default_rng(rng)
        pieces = []
        for kind, share in KINDS.items():
            texts = [t for k, split, _, t in documents if k == kind and split == "train"]
            cut = [t[i : i + 10_000] for t in texts for i in range(0, len(t), 10_000)]
            pieces += [cut[i] for i in random.permutation(len(cut))[: int(1600 * share)]]
        tokenizer = train_tokenizer(pieces, vocabulary)
        tokenizer.save(str(at / "tokenizer.json"))
        for kind in KINDS:
            texts = [t for k, split, _, t in documents if k == kind and split == "train"]
            ids = [np.array([0, *e.ids], np.uint16) for e in tokenizer.encode_batch(texts)]
            np.save(at / f"{kind}.npy", np.concatenate(ids))
        held = {k: {n: t for kind, split, n, t in documents if kind == k and split == "held-out"} for k in KINDS}
        (at / "held-out.json").write_text(json.dumps(held))
    tokens = {kind: np.load(at / f"{kind}.npy", mmap_mode="r") for kind in KINDS}
    held = json.loads((at / "held-out.json").read_text())
    return Tokenizer.from_file(str(at / "tokenizer.json")), tokens, held


def windows(tokens: dict[str, np.ndarray], batch: int, length: int, random: np.random.Generator) -> torch.Tensor:
    """Random windows (batch, length + 1) of the kinds in their shares; half of them begin with the token of a start."""
    kinds = random.choice(list(KINDS), size=batch, p=list(KINDS.values()))
    out = np.empty((batch, length + 1), np.int64)
    for row, kind in enumerate(kinds):
        start = random.integers(len(tokens[kind]) - length - 1)
        out[row] = tokens[kind][start : start + length + 1]
    out[random.random(batch) < 0.5, 0] = 0
    return torch.from_numpy(out)


class HeldOut:
    """Fixed windows of the held-out texts of each kind, and their bits per byte."""

    def __init__(self, held: dict[str, dict[str, str]], tokenizer: Tokenizer, length: int, count: int = 16) -> None:
        self.rows: dict[str, tuple[torch.Tensor, int]] = {}
        for kind, texts in held.items():
            cut = []
            for text in texts.values():
                ids = [0, *tokenizer.encode(text).ids]
                cut += [ids[i : i + length] for i in range(0, len(ids) - length, length)]
            chosen = [cut[i] for i in np.random.default_rng(0).permutation(len(cut))[:count]]
            size = sum(len(tokenizer.decode(row[1:], skip_special_tokens=True).encode()) for row in chosen)
            self.rows[kind] = (torch.tensor(chosen), size)

    @torch.inference_mode()
    def __call__(self, model: torch.nn.Module, device: str) -> dict[str, float]:
        found = {}
        for kind, (ids, size) in self.rows.items():
            nats = 0.0
            for row in ids.split(4):
                row = row.to(device)
                with torch.autocast(device, torch.bfloat16):
                    logits = model(row).logits
                nats += torch.nn.functional.cross_entropy(
                    logits[:, :-1].flatten(0, 1).float(), row[:, 1:].flatten(), reduction="sum"
                ).item()
            found[kind] = nats / math.log(2) / size
        return found


def schedule(done: float, warm: float, decay: float) -> float:
    """The share of the full step at a share `done` of the time: up, level, and linearly down to 0."""
    return min(1.0, done / warm if warm else 1.0, (1 - done) / decay) if done < 1 else 0.0


def write(model: torch.nn.Module, weights: dict[str, torch.Tensor], tokenizer: Tokenizer, out: Path) -> None:
    """Write the folder of the model beside the old files, then put each file in place of the old one."""
    new = out.with_name(out.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    half = {k: v.detach().to("cpu", torch.float16).contiguous() for k, v in weights.items() if k != "lm_head.weight"}
    model.save_pretrained(new, state_dict=half)
    config = json.loads((new / "config.json").read_text()) | {
        "dtype": "float32",
        "use_cache": True,
    }  # stored in half of it
    (new / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,  # text that spells the mark of a start is text
        model_max_length=config["max_position_embeddings"],
    )
    wrapped.save_pretrained(new)
    out.mkdir(parents=True, exist_ok=True)
    for path in new.iterdir():
        path.chmod(0o644)
        os.replace(path, out / path.name)
    new.rmdir()


def optimisers(model: torch.nn.Module, lr: float, kind: str) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks and AdamW for embedding and gains, or AdamW for all."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    adamw = {"lr": lr, "betas": (0.9, 0.95), "weight_decay": 0.0}
    if kind == "adamw":
        return [torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": others}], **adamw)]
    muon = torch.optim.Muon(matrices, lr=lr, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(others, **adamw)]


def train(options: argparse.Namespace) -> None:
    """Train by the clock; what is written is the average of the weights."""
    tokenizer, tokens, held = prepare(options.folder, options.vocabulary, options.seed)
    torch.manual_seed(options.seed)
    device = options.device
    if options.start:
        model = AutoModelForCausalLM.from_pretrained(options.start, dtype=torch.float32, local_files_only=True)
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=options.vocabulary,
                hidden_size=options.width,
                intermediate_size=math.ceil(options.width * 8 / 3 / 64) * 64,
                num_hidden_layers=options.layers,
                num_attention_heads=options.width // 64,
                num_key_value_heads=options.width // 64,
                max_position_embeddings=512,
                rope_theta=10_000.0,
                tie_word_embeddings=True,
                bos_token_id=0,
                eos_token_id=0,
                attn_implementation="sdpa",
            )
        )
    model.config.use_cache = False
    model.to(device)
    parameters = dict(model.named_parameters())
    say(
        f"{sum(p.numel() for p in parameters.values()) / 1e6:.2f} M parameters; tokens: "
        + str({k: len(v) for k, v in tokens.items()})
    )
    if options.initialise:
        return write(model, parameters, tokenizer, options.out)
    average = {k: v.detach().clone() for k, v in parameters.items()}
    check = HeldOut(held, tokenizer, options.length)

    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        logits = model.lm_head(model.model(ids[:, :-1]).last_hidden_state)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())

    loss_function = torch.compile(loss_of) if options.compile else loss_of
    steppers = optimisers(model, options.lr, options.optimiser)
    random = np.random.default_rng(options.seed + int(time.time()) if options.start else options.seed)
    start, step, seen, written, recent = time.monotonic(), 0, 0, 0.0, []
    while (done := (time.monotonic() - start) / (60 * options.minutes)) < 1:
        rate = schedule(done, 0.02, options.decay)
        for stepper in steppers:
            for group in stepper.param_groups:
                group["lr"] = options.lr * rate
        total = 0.0
        for _ in range(options.accumulate):
            ids = windows(tokens, options.batch, options.length, random).to(device)
            with torch.autocast(device, torch.bfloat16):
                loss = loss_function(ids) / options.accumulate
            loss.backward()
            total += loss.item()
            seen += ids.numel()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        step += 1
        recent.append(total)
        with torch.no_grad():
            keep = min(1 - 1 / (step + 1), 0.99 if rate == 1 else 0.95)
            torch._foreach_lerp_(list(average.values()), list(parameters.values()), 1 - keep)
        if step % options.print == 0:
            say(
                f"{done * options.minutes:6.2f} min  step {step:6d}  {seen / 1e6:6.2f} M tokens  rate {rate:.3f}  "
                f"loss {np.mean(recent):.4f}"
            )
            recent = []
        if done * options.minutes - written >= options.every:
            written = done * options.minutes
            save(model, parameters, average, check, tokenizer, options)
    save(model, parameters, average, check, tokenizer, options)
    facts = {"minutes": options.minutes, "steps": step, "tokens": seen, "device": device}
    say(json.dumps(facts))


def save(model, parameters, average, check, tokenizer, options) -> None:  # type: ignore[no-untyped-def]
    """Write the average of the weights, and say its bits per byte."""
    kept = {k: v.detach().clone() for k, v in parameters.items()}
    with torch.no_grad():
        for k, v in parameters.items():
            v.copy_(average[k])
        bits = check(model, options.device)
        write(model, parameters, tokenizer, options.out)
        for k, v in parameters.items():
            v.copy_(kept[k])
    say("held out, bits per byte: " + "  ".join(f"{k} {v:.4f}" for k, v in bits.items()))


def compressed(data: bytes) -> dict[str, float]:
    """Bits per byte of the usual compressors at their strongest."""
    sizes = {"gzip -9": len(gzip.compress(data, 9)), "xz -9e": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))}
    if shutil.which("zstd"):
        sizes["zstd -19"] = len(
            subprocess.run(["zstd", "-19", "-c"], input=data, capture_output=True, check=True).stdout
        )
    return {k: 8 * v / len(data) for k, v in sizes.items()}


def evaluate(options: argparse.Namespace) -> None:
    """Bits per byte of held-out and outside texts, beside the compressors, each text as one stream."""
    from plogp.trace import load_model, trace

    _, _, held = prepare(options.folder, options.vocabulary, options.seed)
    model = load_model(options.out, device=options.device)
    # All held-out documents of a kind by their beginnings, so that the long ones do not drown the others.
    texts = {f"{kind}, all held out": "\n".join(t[:20_000] for t in named.values()) for kind, named in held.items()}
    texts |= {path.name: next(plain(path))[1] for path in options.outside}
    texts |= {f"held out: {n}": t for named in held.values() for n, t in named.items() if len(t) > 100_000}
    found = {}
    for name, text in texts.items():
        text = text[: options.characters]
        data = text.encode()
        record = trace(model, [text], stats=(), batch_size=8)
        found[name] = {"bytes": len(data), "plogp": float(record.bits_per_byte()[0]), **compressed(data)}
        say(f"{name:60} " + "  ".join(f"{k} {v:.3f}" if k != "bytes" else f"{v}" for k, v in found[name].items()))
    (options.out / "evaluation.json").write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Train or evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=65.0)
    parser.add_argument("--folder", type=Path, default=Path("build/lm-corpus"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="folder of a model to train further")
    parser.add_argument("--initialise", action="store_true", help="only write random weights")
    parser.add_argument("--evaluate", action="store_true", help="only evaluate")
    parser.add_argument("--outside", type=Path, nargs="*", default=[], help="more texts to evaluate on")
    parser.add_argument("--characters", type=int, default=1_000_000, help="characters of each text to evaluate on")
    parser.add_argument("--vocabulary", type=int, default=6144)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--optimiser", choices=["muon", "adamw"], default="muon")
    parser.add_argument("--decay", type=float, default=0.25, help="last share of the time, in which the step goes to 0")
    parser.add_argument("--every", type=float, default=5.0, help="minutes between two checkpoints")
    parser.add_argument("--print", type=int, default=20, help="steps between two lines")
    parser.add_argument("--compile", action="store_true", help="torch.compile: quicker after a minute or two")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    evaluate(options) if options.evaluate else train(options)


if __name__ == "__main__":
    main()
