"""`compress` and `decompress`: a container of blocks, each with its tokens, raw bytes and checksums."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from plogp.text.compression.container import Reader, bar, crc, varint
from plogp.text.compression.lanes import Lanes, lengths
from plogp.text.compression.laws import MAX_VOCABULARY, Decoder, Encoder, RankReader, RankWriter
from plogp.text.compression.pieces import Bytes, Ids, Text, alphabet, split

__all__ = [
    "CODERS",
    "compress",
    "compress_stream",
    "context_window",
    "decompress",
    "decompress_stream",
    "fingerprint",
    "resolve",
    "steps",
]

MAGIC = b"\x9eplz"
VERSION = 1
CODERS = ("ac", "rank-zlib")
KINDS = ("tokens", "bytes", "ids")
BLOCK, END = 1, 0
#: Tokens of a block that one lane should have at least, so that its start without context costs little.
LANE = 1024
MOST_LANES = 16

Alphabet = Text | Bytes
Array = npt.NDArray[Any]


def compress(
    data: str | bytes | Array,
    predictor: Any = None,
    coder: str = "ac",
    window: int = 511,
    *,
    stride: int | None = None,
    streams: int | None = None,
    tokenizer: Any = None,
    block_bytes: int = 1 << 20,
    progress: bool = False,
) -> bytes:
    """Compress a text, any bytes or token ids without loss, with a language model as the law of the next token.

    Token t costs -log2 p(token | the tokens before it) bits and a little more; the model itself, which the reader must
    have, is not counted. Bytes that the model's tokenizer does not give back exactly (invalid UTF-8, characters that it
    changes) are coded in the same stream as bytes, under the counts of those before them.

    Parameters
    ----------
    data : str, bytes or array of int64
        A text is compressed as UTF-8.
    predictor : Predictor, transformers model or name, optional
        By default the embedded language model, in float64 (see Notes). A model of 256 symbols without a tokenizer is
        taken as a model of bytes.
    coder : {"ac", "rank-zlib"}
        Range coding under the model's law, or the ranks of the tokens as decimals under zlib.
    window : int
        The most tokens of context, at most what the model can read.
    stride : int, optional
        When the context is full it starts again from the last ``window + 1 - stride`` tokens. 1 is the paper's sliding
        window, at one whole pass of the window a token; the default, half the window, costs two passes of a token.
    streams : int, optional
        How many parts of a block are read in lock step, as one batch. Each begins without context, which cost 25 to 80
        bits a part with the embedded model on documentation: more are faster and a little longer. By default one for
        every 1024 tokens of a block, at most 16; 1 is the shortest.
    tokenizer : optional
        With ``encode(text) -> ids`` and ``decode(ids) -> text``; by default the predictor's.
    block_bytes : int
        Size of the blocks, which have checksums of their own and share no context.
    progress : bool
        Show how far it is, and the speed.

    Returns
    -------
    bytes
        A header (format, coder, window, fingerprint of the model), blocks, and a digest of the whole.

    Raises
    ------
    TypeError, ValueError
        For other data, an unknown coder, or options out of range.

    Notes
    -----
    Decoding repeats what the encoder computed: same steps, same batch shape, tokens one at a time through the cache.
    Logits are rounded to multiples of 1/64 (which costs about 1e-5 nats a token) and all that follows is integers, so
    that a stream is readable wherever the *rounded* logits agree. In float32 another batch shape, number of threads or
    processor does change some of them (3 in 100,000 between batches of 1 and 8): decompress on the machine and with the
    settings that compressed. In float64, which the embedded model is given here, logits differed by 4e-16, and a
    rounded one differs about once in 1e13. Each block has a checksum: what comes back is right, or an error.

    Examples
    --------
    >>> from plogp.trace import NGramLM
    >>> import numpy as np
    >>> text = "the cat sat on the mat; " * 20
    >>> lm = NGramLM(order=3, vocab_size=256).fit([np.frombuffer(text.encode(), np.uint8).astype(int)])
    >>> blob = compress(text, lm)
    >>> len(text), len(blob) < 120, decompress(blob, lm, text=True) == text
    (480, True, True)

    References
    ----------
    Valmeekam, Narayanan, Kalathil, Chamberland and Shakkottai, "LLMZip: Lossless Text Compression using Large Language
    Models" (2023), arXiv:2306.04050. The released code codes under unrounded GPU softmax values and warns that batched
    encoding breaks decoding; rounding, lock step and checksums are this library's.
    """
    if isinstance(data, str):
        source, kind = data.encode("utf-8"), None
    elif isinstance(data, bytes | bytearray | memoryview):
        source, kind = bytes(data), None
    else:
        predictor = resolve(predictor)
        kind = Ids(int(predictor.vocab_size))
        from plogp.trace.predictors import as_ids

        source = as_ids(data, predictor.vocab_size, "data").astype("<i8").tobytes()
    out = io.BytesIO()
    compress_stream(
        io.BytesIO(source),
        out,
        predictor,
        coder,
        window,
        stride=stride,
        streams=streams,
        tokenizer=kind or tokenizer,
        block_bytes=block_bytes,
        progress=progress,
        size=len(source),
    )
    return out.getvalue()


def compress_stream(
    source: IO[bytes],
    target: IO[bytes],
    predictor: Any = None,
    coder: str = "ac",
    window: int = 511,
    *,
    stride: int | None = None,
    streams: int | None = None,
    tokenizer: Any = None,
    block_bytes: int = 1 << 20,
    progress: bool = False,
    size: int | None = None,
) -> dict[str, int]:
    """Compress a binary file object into another, block by block; return counts of bytes and tokens.

    Parameters are those of `compress`; `size` is the number of bytes to come, for the progress bar.
    """
    if coder not in CODERS:
        raise ValueError(f"coder must be one of {', '.join(CODERS)}, got {coder!r}")
    if block_bytes < 16:
        raise ValueError(f"block_bytes must be at least 16, got {block_bytes}")
    predictor = resolve(predictor)
    letters = tokenizer if isinstance(tokenizer, Text | Bytes) else alphabet(predictor, tokenizer)
    window, stride = context_window(predictor, window, stride)
    if streams is not None and not 1 <= streams <= 4096:
        raise ValueError(f"streams must lie between 1 and 4096, got {streams}")
    if int(predictor.vocab_size) > MAX_VOCABULARY:
        raise ValueError(f"predictor has {predictor.vocab_size} tokens, at most {MAX_VOCABULARY} can be coded")
    head = bytes([VERSION, CODERS.index(coder), KINDS.index(letters.kind)])
    head += b"".join(map(varint, (int(predictor.vocab_size), window, stride))) + fingerprint(predictor, letters)
    target.write(MAGIC + head + crc(head))
    digest, total, tokens, written = hashlib.blake2b(digest_size=8), 0, 0, len(MAGIC) + len(head) + 4
    aligned = block_bytes - block_bytes % 8
    waiting = b""
    with bar("compressing", size, progress) as advance:
        while True:
            more = source.read(aligned + 1 - len(waiting)) if len(waiting) <= aligned else b""
            waiting += more
            if not waiting:
                break
            if more and len(waiting) <= aligned:
                continue  # a source may give less than asked for
            cut = min(aligned, len(waiting)) if letters.kind == "ids" else split(waiting, aligned)
            data, waiting = waiting[:cut], waiting[cut:]
            block, n = _block(data, predictor, letters, coder, window, stride, streams, advance)
            target.write(block)
            digest.update(data)
            total, tokens, written = total + len(data), tokens + n, written + len(block)
    tail = bytes([END]) + varint(total) + digest.digest()
    target.write(tail)
    return {"bytes": total, "tokens": tokens, "compressed": written + len(tail)}


def decompress(
    blob: bytes, predictor: Any = None, *, text: bool = False, tokenizer: Any = None, progress: bool = False
) -> Any:
    """Return the bytes that `compress` was given; with ``text=True`` as a str; token ids as an array of int64.

    Raises
    ------
    ValueError
        If `blob` is no such stream, is truncated or corrupted, was made by another model, or decodes to something else
        than what went in (see the Notes of `compress`); nothing is returned then.
    """
    if not isinstance(blob, bytes | bytearray | memoryview):
        raise TypeError(f"blob must be bytes, got {type(blob).__name__}")
    out = io.BytesIO()
    kind = decompress_stream(io.BytesIO(bytes(blob)), out, predictor, tokenizer=tokenizer, progress=progress)["kind"]
    if kind == "ids":
        if text:
            raise ValueError("text: the stream holds token ids and no text")
        return np.frombuffer(out.getvalue(), dtype="<i8").astype(np.int64)
    return out.getvalue().decode() if text else out.getvalue()


def decompress_stream(
    source: IO[bytes], target: IO[bytes], predictor: Any = None, *, tokenizer: Any = None, progress: bool = False
) -> dict[str, Any]:
    """Decompress one binary file object into another, block by block; return counts of bytes and tokens, and the kind.

    A block is written only when its checksum is right; an error may come after right blocks were written.
    """
    read = Reader(source)
    if read.raw.read(len(MAGIC)) != MAGIC:
        raise ValueError("this is no stream of plogp's compressor: its first bytes are others")
    read.start()
    version, coder, kind = read.take(3)
    if version != VERSION:
        raise ValueError(f"the stream has version {version}; this plogp reads version {VERSION}")
    vocab_size, window, stride = (read.varint() for _ in range(3))
    made_by = read.take(8)
    read.checked("the header is corrupted")
    if coder >= len(CODERS) or kind >= len(KINDS):
        raise ValueError(f"the stream has a coder or kind ({coder}, {kind}) that this plogp does not know")
    predictor = resolve(predictor)
    size = int(predictor.vocab_size)
    letters: Alphabet = Ids(size) if KINDS[kind] == "ids" else alphabet(predictor, tokenizer)
    mine = fingerprint(predictor, letters)
    if vocab_size != size or mine != made_by:
        raise ValueError(
            f"the stream was made by another model (fingerprint {made_by.hex()}, {vocab_size} tokens) than the one "
            f"given (fingerprint {mine.hex()}, {size} tokens): weights, dtype and tokenizer must be the same"
        )
    digest, total, tokens, number = hashlib.blake2b(digest_size=8), 0, 0, 0
    with bar("decompressing", None, progress) as advance:
        while (tag := read.take(1)[0]) == BLOCK:
            number += 1
            data, n = _unblock(read, number, predictor, letters, CODERS[coder], window, stride, advance)
            target.write(data)
            digest.update(data)
            total, tokens = total + len(data), tokens + n
    if tag != END:
        raise ValueError(f"the stream is corrupted behind block {number}")
    if read.varint() != total or read.take(8) != digest.digest():
        raise ValueError("the stream is corrupted: its end does not fit its blocks")
    if read.raw.read(1):
        raise ValueError("the stream goes on behind its end: something was appended")
    return {"bytes": total, "tokens": tokens, "kind": KINDS[kind]}


def resolve(predictor: Any) -> Any:
    """Return a predictor: the embedded model in float64 for None; a name is loaded, a transformers model wrapped."""
    if predictor is None:
        import torch

        from plogp.trace.embedded import embedded_model

        return embedded_model(dtype=torch.float64)
    if isinstance(predictor, str):
        from plogp.trace.huggingface import load_model

        return load_model(predictor)
    if hasattr(predictor, "next") and hasattr(predictor, "vocab_size"):
        return predictor
    if hasattr(predictor, "get_output_embeddings"):
        from plogp.trace.huggingface import HFPredictor

        return HFPredictor(predictor)
    raise TypeError(f"predictor must be a Predictor, a transformers model or a name, got {type(predictor).__name__}")


def fingerprint(predictor: Any, letters: Alphabet) -> bytes:
    """Return 8 bytes that tell this model, dtype and tokenizer from others."""
    own = getattr(predictor, "fingerprint", None)
    digest = hashlib.blake2b(digest_size=8)
    if callable(own):
        digest.update(str(own()).encode())
    else:
        # A model that does not identify itself is known by what it says.
        for ids in ([0], [int(predictor.vocab_size) - 1, 0]):
            digest.update(np.asarray(predictor.next(np.array(ids)), dtype="<f8").tobytes())
    model = getattr(predictor, "model", None)
    digest.update(f"{getattr(model, 'dtype', '')} {predictor.vocab_size}".encode() + letters.probe())
    return digest.digest()


def context_window(predictor: Any, window: int, stride: int | None) -> tuple[int, int]:
    """Return window and stride, checked: the window is at most what the model can read."""
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    longest = getattr(predictor, "max_length", None)
    if longest is not None:
        window = min(window, int(longest) - (getattr(predictor, "bos_id", None) is not None))
    stride = max(window // 2, 1) if stride is None else stride
    if not 1 <= stride <= window:
        raise ValueError(f"stride must lie between 1 and the window, {window}, got {stride}")
    return window, stride


def _block(
    data: bytes,
    predictor: Any,
    letters: Alphabet,
    coder: str,
    window: int,
    stride: int,
    streams: int | None,
    advance: Any,
) -> tuple[bytes, int]:
    """Return a block and its number of tokens."""
    pieces = letters.pieces(data)
    told = [p for p in pieces if not isinstance(p, bytes)]
    ids = np.concatenate(told) if told else np.zeros(0, dtype=np.int64)
    raw = b"".join(p for p in pieces if isinstance(p, bytes))
    lanes = max(1, min(streams or min(len(ids) // LANE, MOST_LANES), len(ids)))
    writer: Any = Encoder() if coder == "ac" else RankWriter()
    for level, where in steps(Lanes(predictor, lanes, window, stride), ids, lengths(len(ids), lanes)):
        writer.tokens(level, ids[where])
        advance(len(where) * (len(data) - len(raw)) / len(ids), len(where))
    writer.raw(raw)
    advance(len(raw), 0)
    payload = writer.finish()
    # Which runs are raw is in the lowest bit.
    runs = [len(p) << 1 | isinstance(p, bytes) for p in pieces]
    head = b"".join(map(varint, (len(data), lanes, len(runs), *runs, len(payload))))
    body = head + zlib.crc32(data).to_bytes(4, "little") + payload
    return bytes([BLOCK]) + body + crc(body), len(ids)


def _unblock(
    read: Reader, number: int, predictor: Any, letters: Alphabet, coder: str, window: int, stride: int, advance: Any
) -> tuple[bytes, int]:
    """Return the data of a block and its number of tokens."""
    read.start()
    size, lanes, count = (read.varint() for _ in range(3))
    runs = [read.varint() for _ in range(count)]
    length = read.varint()
    check = int.from_bytes(read.take(4), "little")
    payload = read.take(length)
    read.checked(f"block {number} is corrupted")
    n = sum(run >> 1 for run in runs if not run & 1)
    ids = np.zeros(n, dtype=np.int64)
    # What a wrong law decodes is any token, so the tokenizer may refuse it in its own way.
    wrong = (AssertionError, ValueError, IndexError, KeyError, OverflowError, TypeError, zlib.error)
    try:
        reader = Decoder(payload) if coder == "ac" else RankReader(payload)
        sizes = lengths(n, lanes)
        for level, where in steps(Lanes(predictor, lanes, window, stride), ids, sizes):
            ids[where] = reader.tokens(level)
            advance(len(where) * size / n, len(where))
        raw = io.BytesIO(reader.raw(sum(run >> 1 for run in runs if run & 1)))
        parts, at = [], 0
        for run in runs:
            parts.append(raw.read(run >> 1) if run & 1 else letters.decode(ids[at : at + (run >> 1)]))
            at += 0 if run & 1 else run >> 1
        data = b"".join(parts)
    except wrong as error:
        raise ValueError(_other(number)) from error
    if len(data) != size or zlib.crc32(data) != check:
        raise ValueError(_other(number))
    return data, n


def _other(number: int) -> str:
    return (
        f"block {number} decodes to other data than went in, though the stream is intact and the model the same: this "
        "machine computed other logits; use the same library versions, processor and number of threads, or float64"
    )


def steps(lanes: Lanes, ids: Array, sizes: list[int]) -> Iterator[tuple[Array, Array]]:
    """Yield the levels of every step and the places in `ids` of the tokens they are laws of.

    The caller has the tokens in place when it asks for the next step.
    """
    starts = np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(np.int64)
    steps = max(sizes)
    for t in range(steps):
        # Only the last step may be without some of the lanes.
        where = starts[[size > t for size in sizes]] + t
        yield lanes.levels()[: len(where)], where
        if t + 1 < steps:
            lanes.feed(ids[where])
