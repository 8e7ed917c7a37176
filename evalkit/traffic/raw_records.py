"""Read a file, compressed or not, as numbered records: JSON, table rows, or protobuf messages.

A record is in memory only while it is read, so the memory does not grow with the file. A damaged record
has a reason instead of a value; the records after it are read if their start can be found.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import msgspec

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.location import Location
from evalkit.core.serialization import parse_stored_json
from evalkit.core.source_files import UnreadableFile, open_regular_file
from evalkit.traffic.table_rows import read_csv_rows, read_parquet_rows

if TYPE_CHECKING:
    import zstandard

MAX_RECORD_BYTES = 64 << 20
"""Size of one record. The Collector's file exporter writes a batch as one line, usually below 1 MB."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_CHUNK = 1 << 16
_ZSTD_CHUNK = 1 << 13
"""Small, because what it unpacks to is held in memory."""


class RawRecord(NamedTuple):
    """A record as it is in the file.

    `number` counts lines (rows, messages) from 1. `value` is JSON, or the bytes of a protobuf message.
    `damage` says why there is no value; it quotes nothing from the file.
    """

    number: int
    value: Json
    damage: str = ""


def read_raw_records(path: Path) -> Iterator[RawRecord]:
    """Yield the records of a file; the content decides how they are read, not the name.

    Raises:
        InvalidInput: the file cannot be read at all.
    """
    name = str(path)
    try:
        with open_regular_file(path) as file:
            if file.peek(4)[:4] == b"PAR1":
                for number, row in enumerate(read_parquet_rows(path), start=1):
                    yield RawRecord(number, row)
                return
            with _decompress(file) as stream:
                yield from _read_stream(stream, name)
    except UnreadableFile as error:
        raise InvalidInput.single(str(error), Location(path=name)) from error


@contextmanager
def _decompress(file: io.BufferedReader) -> Iterator[io.BufferedReader]:
    head = file.peek(4)
    if head[:2] == _GZIP:
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield io.BufferedReader(unpacked, _CHUNK)
    elif head[:4] == _ZSTD:
        import zstandard  # noqa: PLC0415 - only for such files

        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        yield io.BufferedReader(_ZstdStream(file, unpacker), _CHUNK)
    else:
        yield file


class _ZstdStream(io.RawIOBase):
    """The content of zstd frames. The reader of the library takes a file that is cut off for a whole one."""

    def __init__(self, file: io.BufferedReader, unpacker: zstandard.ZstdDecompressor) -> None:
        self._file = file
        self._unpacker = unpacker
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end.

        Raises:
            EOFError: the file ends within a frame.
        """
        while not self._unpacked:
            data = (self._frame.unused_data if self._frame else b"") or self._file.read(_ZSTD_CHUNK)
            if self._frame is None or self._frame.eof:
                if not data:
                    return 0
                self._frame = self._unpacker.decompressobj()
            elif not data:
                raise EOFError
            self._unpacked = memoryview(self._frame.decompress(data))
        size = min(len(buffer), len(self._unpacked))
        buffer[:size] = self._unpacked[:size]
        self._unpacked = self._unpacked[size:]
        return size


def _read_stream(stream: io.BufferedReader, name: str) -> Iterator[RawRecord]:
    last = 0
    try:
        for record in _choose_reader(stream, name):
            last = record.number
            yield record
    except Exception as error:
        if not _is_decompression(error):
            raise
        yield RawRecord(last + 1, None, "the compressed data are damaged or cut off here")


def _is_decompression(error: Exception) -> bool:
    kinds = (EOFError, zlib.error, gzip.BadGzipFile)
    return isinstance(error, kinds) or type(error).__name__ == "ZstdError"


def _choose_reader(stream: io.BufferedReader, name: str) -> Iterator[RawRecord]:
    head = stream.peek(64)[:64]
    if _has_frame(head):
        return _read_frames(stream)
    if head[:1] == b"\n" and head.strip()[:1] not in (b"{", b"["):
        # Field 1 of ExportTraceServiceRequest: tag 0x0a, which is also a line feed.
        return _read_message(stream)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or head[:4].count(0) >= 2:
        raise InvalidInput.single("the file is not UTF-8. Save it as UTF-8.", Location(path=name))
    if head.startswith(b"\xef\xbb\xbf"):
        stream.read(3)
        head = head[3:]
    first = head.strip()[:1]
    if first == b"[":
        return _read_array(stream)
    if first == b"{" or not first:
        return _read_json_lines(stream)
    return (RawRecord(*row) for row in read_csv_rows(stream, name))


def _has_frame(head: bytes) -> bool:
    """Return whether a file begins with the length of a message, as the Collector writes it."""
    length = int.from_bytes(head[:4], "big")
    body = head[4:8]
    return 0 < length <= MAX_RECORD_BYTES and (body[:1] in (b"\n", b"{") or body == _ZSTD)


def _read_frames(stream: BinaryIO) -> Iterator[RawRecord]:
    """Yield messages with a big-endian length of 4 bytes before each, compressed one by one or not."""
    number = 0
    while prefix := stream.read(4):
        number += 1
        length = int.from_bytes(prefix, "big")
        if len(prefix) < 4 or length > MAX_RECORD_BYTES:
            yield RawRecord(number, None, "the length of the message is damaged")
            return
        body = stream.read(length)
        if len(body) < length:
            yield RawRecord(number, None, f"the file ends within the message of {length:,} bytes")
            return
        if body[:4] == _ZSTD:
            unpacked = _unpack_zstd(body)
            if unpacked is None:
                yield RawRecord(number, None, "the compressed message is damaged")
                continue
            body = unpacked
        yield _parse(number, body) if body[:1] == b"{" else RawRecord(number, body)


def _unpack_zstd(body: bytes) -> bytes | None:
    import zstandard  # noqa: PLC0415 - only for such files

    try:
        with zstandard.ZstdDecompressor().stream_reader(body) as reader:
            data = bytes(reader.read(MAX_RECORD_BYTES + 1))
    except zstandard.ZstdError:
        return None
    return data if 0 < len(data) <= MAX_RECORD_BYTES else None


def _read_message(stream: BinaryIO) -> Iterator[RawRecord]:
    data = stream.read(MAX_RECORD_BYTES + 1)
    yield _too_long(1) if len(data) > MAX_RECORD_BYTES else RawRecord(1, data)


def _too_long(number: int) -> RawRecord:
    limit = MAX_RECORD_BYTES >> 20
    return RawRecord(number, None, f"longer than {limit} MiB, the limit for one record")


def _read_json_lines(stream: BinaryIO) -> Iterator[RawRecord]:
    number = 0
    while line := stream.readline(MAX_RECORD_BYTES + 1):
        number += 1
        if len(line) > MAX_RECORD_BYTES:
            while line and not line.endswith(b"\n"):
                line = stream.readline(_CHUNK)
            yield _too_long(number)
            continue
        text = line.strip()
        if not text:
            continue
        record = _parse(number, text)
        if record.damage and number == 1 and text[-1:] in b"{[,:":
            yield _read_document(stream, line)
            return
        yield record


def _read_document(stream: BinaryIO, start: bytes) -> RawRecord:
    """Return the one JSON object that a file consists of, over several lines."""
    data = start + stream.read(MAX_RECORD_BYTES + 1 - len(start))
    return _too_long(1) if len(data) > MAX_RECORD_BYTES else _parse(1, data)


def _parse(number: int, data: bytes) -> RawRecord:
    try:
        return RawRecord(number, msgspec.json.decode(data))
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        # Slower, and it reads surrogates that have no partner, which msgspec refuses.
        return RawRecord(number, _replace_surrogates(parse_stored_json(data)))
    except UnicodeDecodeError as error:
        return RawRecord(number, None, f"not UTF-8 at byte {error.start + 1}")
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, " if error.lineno > 1 else ""
        return RawRecord(
            number,
            None,
            f"not JSON: {error.msg.removesuffix(' at')} at {where}column {error.colno}",
        )
    except ValueError:
        return RawRecord(number, None, "not strict JSON: NaN, infinity, or nested too deeply")


def _replace_surrogates(value: Json) -> Json:
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-8", "replace"))


def _read_array(stream: BinaryIO) -> Iterator[RawRecord]:
    """Yield the items of the one JSON array that a file consists of; a number is an item's, not a line's."""
    text = io.TextIOWrapper(stream, "utf-8", errors="replace")
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    buffer = text.read(_CHUNK).lstrip()[1:]
    number = 0
    try:
        while True:
            buffer = buffer.lstrip(" \t\r\n,") or text.read(_CHUNK)
            if not buffer:
                yield RawRecord(number + 1, None, "the file ends within the array")
                return
            if not buffer.strip(" \t\r\n,"):
                continue
            if buffer.startswith("]"):
                return
            item, buffer = _take_item(decoder, buffer, text)
            number += 1
            yield RawRecord(number, _replace_surrogates(item))
    except json.JSONDecodeError as error:
        yield RawRecord(
            number + 1, None, f"not JSON: {error.msg.removesuffix(' at')}; the rest was not read"
        )
    except (ValueError, RecursionError):
        damage = "not strict JSON: NaN, infinity, too long, or nested too deeply"
        yield RawRecord(number + 1, None, f"{damage}; the rest was not read")
    finally:
        text.detach()


def _take_item(decoder: Any, buffer: str, text: io.TextIOWrapper) -> tuple[Json, str]:
    """Return the first value of an array, and the text after it; read on until it is complete."""
    while True:
        try:
            item, end = decoder.raw_decode(buffer)
            if end < len(buffer) or not (more := text.read(_CHUNK)):
                return item, buffer[end:]
        except json.JSONDecodeError as error:
            # The error of a value that goes on after the buffer is at its end, or in an open text.
            is_open = error.pos >= len(buffer) - 8 or error.msg.startswith("Unterminated")
            if not is_open or len(buffer) > MAX_RECORD_BYTES:
                raise
            # As much again, so that the time is linear in the size of the item.
            more = text.read(max(_CHUNK, len(buffer)))
            if not more:
                raise
        buffer += more


def _refuse_constant(name: str) -> Json:
    raise ValueError(name)
