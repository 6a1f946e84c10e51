"""Token information from hidden states against the full computation: seconds, peak memory, agreement.

The full computation makes the logits of all tokens and takes log-probability, entropy, varentropy, largest
log-probability and rank from them with plain PyTorch; with gradients, log-probability and entropy through autograd.
Each runs in a process of its own, on two threads at most. Peak memory is the growth of the process's largest resident
set (`VmHWM`) from the moment the inputs lie in memory and a first small call has loaded the libraries. On a CUDA
device it is what the allocator counts (`max_memory_allocated`), and the fused losses of cut-cross-entropy and Liger,
which give log-probabilities only, are timed beside it where they are installed.

    python benchmarks/bench_trace.py            # 1,024 tokens x 32,000 words x 512 dimensions
    python benchmarks/bench_trace.py --full     # 4,096 x 128,256 x 1,024; the full computation needs 11 GB
    python benchmarks/bench_trace.py --full --tokens 1024
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch

from plogp.trace.linear import linear_information

Tensor = Any


def full(h: Tensor, w: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Return the same numbers from the logits of all tokens, as one writes it."""
    z = h @ w.T
    log_p = z.log_softmax(-1)
    own = z.gather(-1, y[:, None])
    before = torch.arange(z.shape[1], device=z.device) < y[:, None]
    rank = 1 + ((z > own) | ((z == own) & before)).sum(-1)
    p = log_p.exp()
    entropy = -(p * log_p).sum(-1)
    varentropy = (p * (log_p + entropy[:, None]) ** 2).sum(-1)
    return log_p.gather(-1, y[:, None])[:, 0], entropy, varentropy, log_p.amax(-1), rank


def chunked(h: Tensor, w: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Return them from `linear_information`."""
    s = linear_information(h, w, y)
    return s.logprob, s.entropy, s.varentropy, s.max_logprob, s.rank


def full_gradient(h: Tensor, w: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    log_p = (h.requires_grad_() @ w.requires_grad_().T).log_softmax(-1)
    (log_p.gather(-1, y[:, None]).sum() - (log_p.exp() * log_p).sum()).backward()
    return h.grad, w.grad


def chunked_gradient(h: Tensor, w: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    s = linear_information(h.requires_grad_(), w.requires_grad_(), y, stats=("entropy",))
    (s.logprob.sum() + s.entropy.sum()).backward()
    return h.grad, w.grad


WAYS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "full": full,
    "chunked": chunked,
    "full_gradient": full_gradient,
    "chunked_gradient": chunked_gradient,
}


def inputs(tokens: int, words: int, width: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    h = torch.randn(tokens, width, generator=g)
    w = torch.randn(words, width, generator=g).mul_(3 / width**0.5)
    return h.to(device), w.to(device), torch.randint(0, words, (tokens,), generator=g).to(device)


def resident(reset: bool = False) -> int:
    """Return the largest resident set so far, in bytes, and start anew if asked."""
    if reset:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    with open("/proc/self/status") as f:
        line = next(line for line in f if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure(way: str, sizes: list[int], device: str) -> dict[str, Any]:
    torch.set_num_threads(min(2, torch.get_num_threads()))
    run = WAYS[way]
    run(*inputs(8, 64, sizes[2], device))
    h, w, y = inputs(*sizes, device)
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = resident(reset=True)
    start = time.perf_counter()
    out = run(h, w, y)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = (torch.cuda.max_memory_allocated() if device == "cuda" else resident()) - before
    return {"seconds": seconds, "peak": peak, "sums": [float(x.double().abs().sum()) for x in out]}


def apart(way: str, sizes: list[int], device: str) -> dict[str, Any]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--one", way, "--device", device, "--sizes", *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way} failed: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def fused(sizes: list[int]) -> None:
    """Time the fused losses of other packages, which give the log-probabilities alone."""
    named = {"cut_cross_entropy": "cut-cross-entropy", "liger_kernel": "Liger"}
    if not torch.cuda.is_available():
        print(f"{' and '.join(named.values())}: not measured: no CUDA device")
        return
    h, w, y = (x.bfloat16() if x.is_floating_point() else x for x in inputs(*sizes, "cuda"))
    for module, name in named.items():
        if find_spec(module) is None:
            print(f"{name}: not measured: not installed")
            continue
        if module == "cut_cross_entropy":
            from cut_cross_entropy import linear_cross_entropy

            call = lambda: linear_cross_entropy(h, w, y, reduction="none")  # noqa: E731
        else:
            from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction

            call = lambda: LigerFusedLinearCrossEntropyFunction.apply(h, w, y)  # noqa: E731
        call()
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        print(f"{name}: {time.perf_counter() - start:.3f} s in bfloat16, log-probabilities only")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--no-gradient", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sizes", type=int, nargs=3)
    parser.add_argument("--one", choices=WAYS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.sizes, args.device)))
        return
    sizes = [4096, 128_256, 1024] if args.full else [1024, 32_000, 512]
    sizes[0] = args.tokens or sizes[0]
    print(f"{sizes[0]:,} tokens x {sizes[1]:,} words x {sizes[2]:,} dimensions, float32, {args.device}")
    print(f"{'':28} {'seconds':>9} {'peak, MiB':>11} {'time ratio':>11} {'memory ratio':>13}")
    missed = []
    for kind in ("",) if args.no_gradient else ("", "_gradient"):
        theirs, ours = (apart(way + kind, sizes, args.device) for way in ("full", "chunked"))
        for name, found in (("full computation", theirs), ("linear_information", ours)):
            label = name + (" + backward" if kind else "")
            ratios = f"{found['seconds'] / theirs['seconds']:11.2f} {found['peak'] / theirs['peak']:13.3f}"
            print(f"{label:28} {found['seconds']:9.2f} {found['peak'] / 2**20:11.1f} {ratios}")
        apart_by = max(abs(a - b) / (1e-9 + abs(b)) for a, b in zip(ours["sums"], theirs["sums"]))
        print(f"{'':28} sums of the results differ by {apart_by:.1e} at most, relatively")
        if apart_by > 1e-3:
            missed.append("the results differ")
        if not kind and (ours["peak"] > 64 * 2**20 or ours["seconds"] > 1.05 * theirs["seconds"]):
            missed.append("forward under 64 MiB and not slower than the full computation")
    fused(sizes)
    if missed:
        raise SystemExit("target missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
