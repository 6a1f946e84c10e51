"""Where a transformer keeps its blocks, their parts and its head: a table of families, open to new ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

__all__ = ["Architecture", "Family", "architecture", "register_architecture"]

Module = Any  # torch.nn.Module; this module needs no import of it
Tensor = Any


@dataclass(frozen=True)
class Family:
    """Dotted paths of the parts of a kind of transformer: `blocks` and the head from the model, the rest in a block.

    Paths from the model may also start at its base model, so that one entry serves ``GPT2Model`` and
    ``GPT2LMHeadModel``. ``parallel`` may be a function of the model's config.
    """

    blocks: str
    up: str
    down: str
    gate: str | None = None
    attention: str | None = None
    mlp: str | None = None
    attention_norm: str | None = None
    mlp_norm: str | None = None
    final_norm: str | None = None
    projection: str | None = None
    unembedding: str | None = None
    gated: bool | None = None
    fused_gate: bool = False
    parallel: bool | Callable[[Any], bool] = False
    post_norm: bool | Callable[[Any], bool] = False
    attention_pair: bool = True
    encoder: bool = False


_GPT = Family(
    "h",
    up="mlp.c_fc",
    down="mlp.c_proj",
    attention="attn",
    mlp="mlp",
    attention_norm="ln_1",
    mlp_norm="ln_2",
    final_norm="ln_f",
)
_LLAMA = Family(
    "layers",
    gate="mlp.gate_proj",
    up="mlp.up_proj",
    down="mlp.down_proj",
    attention="self_attn",
    mlp="mlp",
    attention_norm="input_layernorm",
    mlp_norm="post_attention_layernorm",
    final_norm="norm",
)
_GEMMA2 = replace(_LLAMA, mlp_norm="pre_feedforward_layernorm")  # and a norm at the end of each branch
_BERT = Family(
    "encoder.layer",
    up="intermediate.dense",
    down="output.dense",
    attention="attention",
    post_norm=True,
    encoder=True,
)

#: Families by ``config.model_type`` or by the name of the model's class.
_FAMILIES: dict[str, Family] = {
    "gpt2": _GPT,
    "gpt_neo": _GPT,
    "gptj": replace(_GPT, up="mlp.fc_in", down="mlp.fc_out", mlp_norm=None, parallel=True),
    "gpt_neox": Family(
        "layers",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        attention="attention",
        mlp="mlp",
        attention_norm="input_layernorm",
        mlp_norm="post_attention_layernorm",
        final_norm="final_layer_norm",
        parallel=lambda config: bool(config.use_parallel_residual),
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2,
    "phi": replace(
        _LLAMA,
        gate=None,
        up="mlp.fc1",
        down="mlp.fc2",
        mlp_norm=None,
        final_norm="final_layernorm",
        parallel=True,
    ),
    "phi3": replace(_LLAMA, gate="mlp.gate_up_proj", up="mlp.gate_up_proj", fused_gate=True),
    "opt": Family(
        "decoder.layers",
        up="fc1",
        down="fc2",
        attention="self_attn",
        attention_norm="self_attn_layer_norm",
        mlp_norm="final_layer_norm",
        final_norm="decoder.final_layer_norm",
        projection="decoder.project_out",
        post_norm=lambda config: not config.do_layer_norm_before,
    ),
    "bert": _BERT,
    "roberta": _BERT,
}


@dataclass(frozen=True, eq=False)
class Architecture:
    """The parts of one model. Tuples have one entry a block; None stands for a part that the model has not.

    Attributes
    ----------
    name : str
        The family.
    model : Module
        The model itself, without wrappers (data parallel, compiled, PEFT).
    container : Module
        The ``ModuleList`` of the blocks.
    blocks, attention, mlp, up, down : tuple of modules
        Whole blocks, their attention and MLP, and the MLP's projections into and out of its width.
    gate : tuple of modules or None
        The projection that goes through the nonlinearity, in gated MLPs (SwiGLU, GeGLU). In Phi-3 it is the first
        half of the same module as `up` (`fused_gate`).
    attention_norm, mlp_norm : tuple of modules or None
        Norms that read the residual stream before attention and before the MLP.
    final_norm, unembedding : module or None
        What turns the residual stream into logits; see `logits`.
    gated, fused_gate, parallel, post_norm, attention_pair, encoder : bool
        Gated MLP; gate and up in one module; attention and MLP read the same input (GPT-J, Phi, most GPT-NeoX);
        norms stand after the residual sum (BERT, OPT-350m); attention returns (output, weights) and not the output
        alone; bidirectional.

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=11, n_positions=16))
    >>> arch = architecture(model)
    >>> arch.name, len(arch.blocks), arch.gated, arch.names[1]
    ('gpt2', 2, False, 'transformer.h.1')
    >>> arch.up[0] is model.transformer.h[0].mlp.c_fc
    True
    """

    name: str
    model: Module
    container: Module
    blocks: tuple[Module, ...]
    up: tuple[Module, ...]
    down: tuple[Module, ...]
    gate: tuple[Module, ...] | None
    attention: tuple[Module, ...] | None
    mlp: tuple[Module, ...] | None
    attention_norm: tuple[Module, ...] | None
    mlp_norm: tuple[Module, ...] | None
    final_norm: Module | None
    projection: Module | None
    unembedding: Module | None
    gated: bool
    fused_gate: bool
    parallel: bool
    post_norm: bool
    attention_pair: bool
    encoder: bool
    names: tuple[str, ...] = field(repr=False, default=())

    @property
    def pre(self) -> tuple[Module, ...]:
        """Modules whose output goes into the MLP's nonlinearity: the gate where there is one, else `up`."""
        return self.up if self.gate is None else self.gate

    def pre_activation(self, output: Tensor) -> Tensor:
        """Return what goes into the nonlinearity, from the output of `pre`: the first half where gate and up share."""
        return output[..., : output.shape[-1] // 2] if self.fused_gate else output

    @property
    def head(self) -> Module:
        """The unembedding.

        Raises
        ------
        ValueError
            If the model has none.
        """
        if self.unembedding is None:
            raise ValueError(
                f"{type(self.model).__name__} has no unembedding; pass the model with its language-model head "
                "(a class that ends in ForCausalLM or LMHeadModel)"
            )
        return self.unembedding

    def logits(self, residual: Tensor) -> Tensor:
        """Return the logits of a residual stream, shape (..., d) -> (..., V): final norm, unembedding, soft cap.

        Raises
        ------
        ValueError
            If the model has no unembedding.
        """
        hidden = residual
        for module in (self.final_norm, self.projection):
            hidden = hidden if module is None else module(hidden)
        logits = self.head(hidden)
        cap = getattr(_config(self.model), "final_logit_softcapping", None)
        return logits if not cap else cap * (logits / cap).tanh()


def architecture(model: Module) -> Architecture:
    """Return where a transformer keeps its blocks, attention, MLPs, projections, final norm and unembedding.

    Known are GPT-2, GPT-Neo, GPT-NeoX (Pythia), GPT-J, LLaMA, Mistral, Qwen2, Qwen3, Gemma 1 to 3, Phi, Phi-3, OPT,
    BERT and RoBERTa of the transformers library; `register_architecture` adds others. The model is looked up by
    ``config.model_type``, then by the name of its class.

    Parameters
    ----------
    model : torch.nn.Module
        With or without a head; wrappers of `DistributedDataParallel`, ``torch.compile`` and PEFT are taken off.

    Raises
    ------
    TypeError
        If `model` is no module.
    ValueError
        For an unknown family: the message says how to register it.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaModel
    >>> sizes = dict(hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, vocab_size=11)
    >>> architecture(LlamaModel(LlamaConfig(**sizes))).gated
    True
    """
    if not callable(getattr(model, "named_modules", None)):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    model = _unwrapped(model)
    kind, cls = getattr(_config(model), "model_type", None), type(model).__name__
    # The class first: it is the narrower of the two, should somebody register both.
    name = next((k for k in (cls, kind) if k in _FAMILIES), None)
    if name is None:
        raise ValueError(
            f"plogp does not know where {cls} (model_type {kind!r}) keeps its blocks; known are "
            f"{', '.join(sorted(_FAMILIES))}. Tell it once with plogp.trace.register_architecture("
            f"{kind or cls!r}, blocks='model.layers', up='mlp.up_proj', down='mlp.down_proj', ...)"
        )
    return _resolved(model, name, _FAMILIES[name])


def register_architecture(
    name: str,
    *,
    blocks: str,
    up: str,
    down: str,
    gate: str | None = None,
    attention: str | None = None,
    mlp: str | None = None,
    attention_norm: str | None = None,
    mlp_norm: str | None = None,
    final_norm: str | None = None,
    unembedding: str | None = None,
    gated: bool | None = None,
    parallel: bool | Callable[[Any], bool] = False,
    post_norm: bool = False,
    attention_pair: bool = True,
    encoder: bool = False,
) -> None:
    """Tell `architecture` where a family of models keeps its parts; a known name is replaced.

    Parameters
    ----------
    name : str
        ``config.model_type`` of a transformers model, or the name of any model class.
    blocks : str
        Dotted path from the model (or its base model) to the list of blocks: ``"model.layers"``.
    up, down : str
        Dotted paths from a block to the MLP's projections into and out of its width.
    gate : str, optional
        The projection that goes through the nonlinearity, where the MLP is gated and `up` does not.
    attention, mlp, attention_norm, mlp_norm : str, optional
        Dotted paths from a block, needed by `plogp.spectra.block_entropy` and `plogp.adapt.prune_blocks`.
    final_norm, unembedding : str, optional
        Dotted paths from the model, needed by `residual_lens`; the unembedding of a transformers model is found.
    gated : bool, optional
        Whether the MLP is gated; by default whether `gate` is given. (With ``gated=True`` and no `gate`, `up` is the
        projection that goes through the nonlinearity.)
    parallel : bool or function of the config
        Whether attention and MLP read the same input.
    post_norm : bool
        Whether norms stand after the residual sums.
    attention_pair : bool
        Whether the attention module returns (output, weights), as those of transformers do, or the output alone.
    encoder : bool
        Whether the model is bidirectional.

    Raises
    ------
    TypeError, ValueError
        If a name or path is no text, or empty.

    Examples
    --------
    >>> register_architecture("my_model", blocks="backbone.layers", up="ff.w1", down="ff.w2", gated=True)
    >>> _ = _FAMILIES.pop("my_model")
    """
    optional: dict[str, Any] = {
        "gate": gate,
        "attention": attention,
        "mlp": mlp,
        "attention_norm": attention_norm,
        "mlp_norm": mlp_norm,
        "final_norm": final_norm,
        "unembedding": unembedding,
    }
    for label, path in {"name": name, "blocks": blocks, "up": up, "down": down, **optional}.items():
        if not isinstance(path, str) and not (label in optional and path is None):
            raise TypeError(f"{label} must be text, a dotted path such as 'model.layers', got {path!r}")
        if path is not None and not path.strip("."):
            raise ValueError(f"{label} must be a dotted path such as 'model.layers', got an empty text")
    _FAMILIES[name] = Family(
        blocks,
        up,
        down,
        **optional,
        gated=gated,
        parallel=parallel,
        post_norm=post_norm,
        attention_pair=attention_pair,
        encoder=encoder,
    )


def _unwrapped(model: Module) -> Module:
    """Take off data-parallel, compiled and PEFT wrappers."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        elif type(model).__name__ in ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"):
            model = model.module
        else:
            return model


def _config(model: Module) -> Any:
    return getattr(model, "config", None)


def _resolved(model: Module, name: str, family: Family) -> Architecture:
    base = getattr(model, "base_model", model)
    names = {id(module): label for label, module in model.named_modules()}
    container = _first(model, base, family.blocks, name)
    blocks = tuple(container)
    if not blocks:
        raise ValueError(f"{type(model).__name__} has no blocks: {family.blocks!r} is empty")

    def each(path: str) -> tuple[Module, ...]:
        return tuple(_at(block, path, name) for block in blocks)

    def inside(path: str | None) -> tuple[Module, ...] | None:
        return None if path is None else each(path)

    def flag(value: bool | Callable[[Any], bool]) -> bool:
        return value(_config(model)) if callable(value) else value

    if family.unembedding is not None:
        unembedding = _first(model, base, family.unembedding, name)
    else:
        unembedding = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    projection = None
    if family.projection is not None:  # a part that only some sizes of the family have
        projection = _first(model, base, family.projection, name)
    gate = inside(family.gate)
    return Architecture(
        name=name,
        model=model,
        container=container,
        blocks=blocks,
        up=each(family.up),
        down=each(family.down),
        gate=gate,
        attention=inside(family.attention),
        mlp=inside(family.mlp),
        attention_norm=inside(family.attention_norm),
        mlp_norm=inside(family.mlp_norm),
        final_norm=None if family.final_norm is None else _first(model, base, family.final_norm, name),
        projection=projection,
        unembedding=unembedding,
        gated=gate is not None if family.gated is None else family.gated,
        fused_gate=family.fused_gate,
        parallel=flag(family.parallel),
        post_norm=flag(family.post_norm),
        attention_pair=family.attention_pair,
        encoder=family.encoder,
        names=tuple(names[id(block)] for block in blocks),
    )


def _first(model: Module, base: Module, path: str, name: str) -> Any:
    """Return the module at a path from the model, or else from its base model."""
    for root in (model, base):
        try:
            return attrgetter(path)(root)
        except AttributeError:
            continue
    return _at(base, path, name)


def _at(root: Module, path: str, name: str) -> Any:
    try:
        return attrgetter(path)(root)
    except AttributeError as error:
        inner = ", ".join(label for label, _ in root.named_modules() if label) or "none"
        raise ValueError(
            f"architecture {name!r} expects {path!r} in {type(root).__name__}, which has the modules {inner[:400]}; "
            f"correct it with plogp.trace.register_architecture({name!r}, ...)"
        ) from error
