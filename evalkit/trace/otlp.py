"""Decode the body of an OTLP/HTTP export, JSON or protobuf, into span payloads."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

from evalkit.core.limits import MAX_EXPORT_BYTES
from evalkit.trace.otlp_json import ReceivedSpan, read_json_spans
from evalkit.trace.otlp_protobuf import read_protobuf_spans


class InvalidExport(Exception):
    """A body is not an OTLP export; the message says why not."""


class ExportTooLarge(InvalidExport):
    """A body exceeds `MAX_EXPORT_BYTES` when it is decompressed."""


def read_export(body: bytes, content_type: str, encoding: str) -> Iterator[ReceivedSpan]:
    """Yield the spans of one export.

    Raises:
        InvalidExport: the body is not what its headers say.
        ExportTooLarge: the body is too large when it is decompressed.
    """
    data = _decompress(body, encoding)
    if "json" in content_type:
        yield from _read_json(data)
    elif "protobuf" in content_type:
        yield from _read_protobuf(data)
    else:
        raise InvalidExport(f"content type {content_type!r} is neither JSON nor protobuf")


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise InvalidExport(f"content encoding {encoding!r} is unknown; send gzip, deflate or none")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # detects gzip or zlib by the header
    try:
        data = unpacker.decompress(body, MAX_EXPORT_BYTES)
    except zlib.error as error:
        raise InvalidExport(f"not {encoding}: {error}") from None
    if unpacker.unconsumed_tail:
        raise ExportTooLarge(f"more than {MAX_EXPORT_BYTES:,} bytes when decompressed")
    return data


def _read_json(data: bytes) -> Iterator[ReceivedSpan]:
    try:
        yield from read_json_spans(json.loads(data))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidExport(f"not OTLP JSON: {type(error).__name__}: {error}") from None


def _read_protobuf(data: bytes) -> Iterator[ReceivedSpan]:
    try:
        yield from read_protobuf_spans(data)
    except ValueError as error:
        raise InvalidExport(f"not OTLP protobuf: {error}") from None
