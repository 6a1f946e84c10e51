"""Lossless compression of texts, and of any bytes, with a language model and an arithmetic coder."""

from plogp.text.compression.codec import compress, compress_stream, decompress, decompress_stream
from plogp.text.compression.measured import CompressionReport, compression_report

__all__ = [
    "CompressionReport",
    "compress",
    "compress_stream",
    "compression_report",
    "decompress",
    "decompress_stream",
]
