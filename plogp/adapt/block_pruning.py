"""Dropping whole blocks of a transformer: attention, MLPs or layers that add least to the residual stream."""

from __future__ import annotations

import copy as copying
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from plogp.spectra.blocks import BLOCKS, BlockEntropy, block_entropy, droppable, part_of
from plogp.trace.architectures import Architecture, architecture

__all__ = ["Skip", "prune_blocks"]

Tensor = Any


class Skip(torch.nn.Module):
    """Stands where an attention block or an MLP was: its branch adds 0, so the residual stream passes unchanged.

    It holds no weights. In a saved model the weights it replaces are written as zeros, so that a plain
    ``from_pretrained`` of the files gives the same outputs (at the old cost) where this class is not used. A skipped
    attention still tells the cache of keys and values how many tokens there are.
    """

    def __init__(self, module: Any, attention: bool = False, pair: bool = False):
        super().__init__()
        self.attention, self.pair = attention, pair
        self.layer_idx = _layer_number(module)
        self._shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
        like = next(module.parameters(), torch.zeros(()))
        # Follows the model's dtype, and is not saved.
        self.register_buffer("_like", like.new_zeros(()).detach(), persistent=False)

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return zeros of the input's shape; for attention with None in the place of the weights."""
        cache = next((kwargs[k] for k in ("past_key_values", "layer_past") if kwargs.get(k) is not None), None)
        if self.attention and cache is not None and self.layer_idx is not None:
            cache = getattr(cache, "self_attention_cache", cache)
            batch, tokens = hidden_states.shape[:2]
            length = hidden_states.new_zeros(batch, 1, tokens, 1)
            cache.update(length, length, self.layer_idx)
        out = torch.zeros_like(hidden_states)
        return (out, None) if self.pair else out

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, shape in self._shapes.items():
            destination[prefix + name] = torch.zeros(shape, dtype=self._like.dtype)

    def _load_from_state_dict(
        self, state: Any, prefix: str, metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any
    ) -> None:
        # Zeros are what this module saves; anything else belongs to a block that is not dropped.
        mine = [key for key in state if key.startswith(prefix)]
        unexpected += [key for key in mine if key[len(prefix) :] not in self._shapes or bool(state[key].any())]

    def extra_repr(self) -> str:
        return "attention" if self.attention else "mlp"


def prune_blocks(
    model: Any,
    table: Any,
    n_drop: int | None = None,
    protect: tuple[int, int] = (2, 1),
    method: str = "entropy",
    *,
    block: str | None = None,
    greedy: bool = False,
    copy: bool = True,
    rng: np.random.Generator | int | None = None,
    **options: Any,
) -> Any:
    """Return a transformer without the blocks that add least: their branch is skipped, the residual stream stays.

    Attention and MLP blocks become a `Skip`; whole layers are taken out and the rest renumbered. The result generates
    with and without a cache, trains, and saves and loads by ``save_pretrained`` and ``from_pretrained``.

    Parameters
    ----------
    model : torch.nn.Module
        A transformer that `plogp.trace.architecture` knows.
    table : BlockEntropy, sequence of int, or batches
        What `plogp.spectra.block_entropy` returned; or the numbers of the blocks to drop; or calibration inputs
        (ids, a mapping or an iterable), which are measured here.
    n_drop : int
        How many blocks to drop; left out where `table` names them.
    protect : (int, int)
        How many first and last blocks to keep in any case. (Early blocks lower the entropy while they sort the
        tokens out; the paper does not touch them.)
    method : {"entropy", "cosine", "random"}
        Least entropy gain first; least cosine importance, 1 - cos(X, Y), first; at random.
    block : {"attention", "mlp", "layer"}, optional
        Which blocks. That of the table, or else "attention".
    greedy : bool
        Measure again after each drop (needs batches): the gain of a block depends on what is already gone.
    copy : bool
        Work on a deep copy. False prunes `model` itself.
    rng : Generator, int or None
        For ``method="random"``.
    **options
        Of `plogp.spectra.block_entropy`, where it is called here.

    Returns
    -------
    torch.nn.Module
        With ``config.plogp_dropped``: ``{"attention": [...], "mlp": [...], "layer": [...]}``, numbers in the model
        as it was first. After ``from_pretrained`` the attention and MLP blocks dropped are zeros, not skips: the
        outputs are the same; ``prune_blocks(loaded, loaded.config.plogp_dropped["attention"])`` makes them skips again.

    Raises
    ------
    ValueError
        If more blocks are to be dropped than `protect` leaves, a block is named that is not there or already
        dropped, a post-norm model (BERT) is to lose parts of layers, or the table was made for other blocks.

    Notes
    -----
    Source: L. Yang et al. (2025), arXiv 2504.03794.

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> model = GPT2LMHeadModel(GPT2Config(n_layer=6, n_embd=8, n_head=2, vocab_size=50, n_positions=64))
    >>> ids = torch.randint(50, (4, 40), generator=torch.Generator().manual_seed(0))
    >>> from plogp.spectra import block_entropy
    >>> table = block_entropy(model, ids, k=5)
    >>> smaller = prune_blocks(model, table, 2)
    >>> smaller.config.plogp_dropped["attention"] == sorted(table.ranking()[:2])
    True
    >>> smaller(ids).logits.shape
    torch.Size([4, 40, 50])
    """
    if method not in ("entropy", "cosine", "random"):
        raise ValueError(f"method must be 'entropy', 'cosine' or 'random', got {method!r}")
    named = _block_numbers(table)
    block = _block_kind(table, block)
    arch = architecture(model)
    _check_can_drop(arch, block)
    depth = len(arch.blocks)
    if named is None:
        _check_count(n_drop, len(droppable(depth, protect)), protect)
        if greedy and (isinstance(table, BlockEntropy) or method == "random"):
            raise ValueError("greedy=True measures again after each drop: pass batches, and 'entropy' or 'cosine'")
        if isinstance(table, BlockEntropy) and len(table) != depth:
            raise ValueError(f"table has {len(table)} blocks, but the model has {depth}; measure this model")
    elif n_drop not in (None, len(named)):
        raise ValueError(f"table names {len(named)} blocks to drop, but n_drop is {n_drop}")
    elif len(set(named)) < len(named) or not set(named) <= set(range(depth)):
        raise ValueError(f"blocks to drop must be different numbers from 0 to {depth - 1}, got {named}")
    if block == "layer" and (n_drop or len(named or ())) == depth:
        raise ValueError("all layers would be dropped; keep at least one")
    if copy:
        model = copying.deepcopy(model)
        arch = architecture(model)
    if named is not None:
        _drop(arch, block, named, named)
    elif greedy:
        _drop_greedily(model, table, int(n_drop or 0), droppable(depth, protect), method, block, options)
    elif method == "random":
        drawn = np.random.default_rng(rng).choice(droppable(depth, protect), n_drop, replace=False)
        _drop(arch, block, drawn.tolist(), drawn.tolist())
    else:
        measured = table if isinstance(table, BlockEntropy) else block_entropy(model, table, block, **options)
        order = measured.ranking(method, protect)[:n_drop]
        _drop(arch, block, order, order)
    return model


def _drop_greedily(
    model: Any, batches: Any, n_drop: int, allowed: list[int], method: str, block: str, options: Mapping[str, Any]
) -> None:
    """Drop the block that ranks first, measure again, and so on."""
    left = list(range(len(architecture(model).blocks)))  # numbers in the model as it was
    for _ in range(n_drop):
        ranked = block_entropy(model, batches, block, **options).ranking(method, (0, 0))
        place = next(i for i in ranked if left[i] in allowed)
        number = left[place]
        allowed = [i for i in allowed if i != number]
        _drop(architecture(model), block, [place], [number])
        if block == "layer":
            del left[place]


def _block_numbers(table: Any) -> list[int] | None:
    """Return the numbers if `table` is a sequence of block numbers."""
    if not isinstance(table, Sequence) or isinstance(table, (str, bytes)):
        return None
    whole = all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in table)
    return [int(i) for i in table] if whole else None


def _block_kind(table: Any, block: str | None) -> str:
    made_for = table.block if isinstance(table, BlockEntropy) else None
    if block is None:
        return made_for or "attention"
    if block not in BLOCKS:
        raise ValueError(f"block must be one of {', '.join(map(repr, BLOCKS))}, got {block!r}")
    if made_for not in (None, block):
        raise ValueError(f"table measures {made_for} blocks; it does not rank {block} blocks")
    return block


def _check_count(n_drop: Any, most: int, protect: tuple[int, int]) -> None:
    if isinstance(n_drop, bool) or not isinstance(n_drop, (int, np.integer)) or not 0 <= n_drop <= most:
        raise ValueError(
            f"n_drop must be a number of blocks from 0 to the {most} that protect={protect} leaves, got {n_drop!r}"
        )


def _check_can_drop(arch: Architecture, block: str) -> None:
    if block == "layer":
        config = getattr(arch.model, "config", None)
        if getattr(config, "scale_attn_by_inverse_layer_idx", False):
            raise ValueError(
                "this model scales attention by its layer's number (scale_attn_by_inverse_layer_idx), which renumbered "
                "layers would change; drop 'attention' and 'mlp' blocks instead"
            )
        return
    part_of(arch, block)
    if arch.post_norm:
        raise ValueError(
            f"{type(arch.model).__name__} has norms behind its residual sums, so a dropped {block} block is no plain "
            "skip; use block='layer'"
        )


def _drop(arch: Architecture, block: str, where: Sequence[int], numbers: Sequence[int]) -> None:
    """Drop blocks at some positions of the model as it is; `numbers` name them in the model as it was."""
    if block == "layer":
        _drop_layers(arch, where)
    else:
        for i in where:
            _skip(arch, block, i)
    config = getattr(arch.model, "config", None)
    if config is not None:
        dropped = dict.fromkeys(BLOCKS, ()) | (getattr(config, "plogp_dropped", None) or {})
        dropped[block] = sorted({*dropped[block], *numbers})
        config.plogp_dropped = {kind: list(found) for kind, found in dropped.items()}


def _skip(arch: Architecture, block: str, i: int) -> None:
    """Put a `Skip` where the attention or the MLP of block i is."""
    part, owner = part_of(arch, block)[i], arch.blocks[i]
    if isinstance(part, Skip):
        raise ValueError(f"the {block} of block {i} is already dropped")
    norms = arch.attention_norm if block == "attention" else arch.mlp_norm
    if norms is not None and not (arch.parallel and arch.mlp_norm is None):
        norms[i].requires_grad_(False)  # it feeds the dropped branch alone: no gradient, which DDP would wait for
    if block == "attention":
        _replace(owner, part, Skip(part, attention=True, pair=arch.attention_pair))
        return
    _replace(owner, part, Skip(part))
    if arch.mlp is None:  # the projections stand in the block itself, as in OPT
        _replace(owner, arch.down[i], Skip(arch.down[i]))


def _replace(owner: Any, module: Any, new: Any) -> None:
    path = next(name for name, m in owner.named_modules() if m is module)
    parent, _, leaf = path.rpartition(".")
    setattr(owner.get_submodule(parent), leaf, new)


def _drop_layers(arch: Architecture, where: Sequence[int]) -> None:
    """Take layers out and number the rest anew, in the modules and in the config."""
    depth, gone = len(arch.blocks), set(where)
    for i in sorted(gone, reverse=True):
        del arch.container[i]
    for i, block in enumerate(arch.container):
        for module in block.modules():
            for name in NUMBERS:
                if isinstance(getattr(module, name, None), int):
                    setattr(module, name, i)
    config = getattr(arch.model, "config", None)
    if config is None:
        return
    config.num_hidden_layers = depth - len(gone)
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == depth:  # one entry a layer: layer_types and the like
            setattr(config, name, [entry for i, entry in enumerate(value) if i not in gone])
    if hasattr(config, "attention_types") and hasattr(config, "attention_layers"):  # GPT-Neo writes them twice
        config.attention_types = [[list(config.attention_layers), 1]]


#: What modules call the number of their layer, by which they find their keys and values in a cache.
NUMBERS = ("layer_idx", "layer_id")


def _layer_number(module: Any) -> int | None:
    found = (getattr(m, name, None) for m in module.modules() for name in NUMBERS)
    return next((i for i in found if isinstance(i, int)), None)
