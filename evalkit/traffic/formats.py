"""The formats that can be imported, and which of them a file has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from typing import NamedTuple

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.location import Location
from evalkit.core.values import enumerate_values
from evalkit.traffic.chat_logs import (
    is_chat_log,
    is_litellm,
    open_chat_log,
    open_litellm,
)
from evalkit.traffic.langfuse_records import LangfuseReader, is_langfuse
from evalkit.traffic.langsmith_records import LangSmithReader, is_langsmith
from evalkit.traffic.mapped_rows import open_mapped
from evalkit.traffic.otlp_records import OtlpReader, is_otlp
from evalkit.traffic.phoenix_records import PhoenixReader, is_phoenix
from evalkit.traffic.raw_records import RawRecord
from evalkit.traffic.record_reader import RecordReader

MAPPED = "table"
"""The format of files whose columns the user names with `--map`."""

_MAX_PEEKED = 20


class TrafficFormat(NamedTuple):
    """A format: what it is called, whether a record has it, and how it is read.

    `open` takes the name of the source, which begins the ids of all its records.
    """

    title: str
    matches: Callable[[Json], bool]
    open: Callable[[str], RecordReader]


FORMATS: Mapping[str, TrafficFormat] = {
    "otlp": TrafficFormat("OpenTelemetry (OTLP), also of Tempo and Jaeger", is_otlp, OtlpReader),
    "langfuse": TrafficFormat(
        "Langfuse: observations, scores, traces", is_langfuse, LangfuseReader
    ),
    "langsmith": TrafficFormat("LangSmith: runs, feedback", is_langsmith, LangSmithReader),
    "phoenix": TrafficFormat(
        "Phoenix: spans of OpenInference, annotations", is_phoenix, PhoenixReader
    ),
    "litellm": TrafficFormat("LiteLLM: spend logs, logging payloads", is_litellm, open_litellm),
    "chat-log": TrafficFormat(
        "requests and responses of OpenAI or Anthropic", is_chat_log, open_chat_log
    ),
}
"""The formats by name, the most specific first."""


def recognize_format(record: Json) -> str | None:
    """Return the name of the format that a record has; None if it has none."""
    return next((name for name, each in FORMATS.items() if each.matches(record)), None)


def choose_reader(
    records: Iterable[RawRecord], name: str, given: str, source: str, mapping: Mapping[str, str]
) -> tuple[str, RecordReader, Iterator[RawRecord]]:
    """Return the format of a file, a reader for it, and all its records.

    `given` is the format that the user chose; empty to recognize it from the first records.

    Raises:
        InvalidInput: the format is unknown or not recognized.
    """
    if given and given not in (*FORMATS, MAPPED):
        near = get_close_matches(given, [*FORMATS, MAPPED], n=1)
        advice = (
            f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join([*FORMATS, MAPPED])}."
        )
        raise InvalidInput.single(f"--format {given}: there is no such format. {advice}")
    if mapping or given == MAPPED:
        return MAPPED, open_mapped(source or MAPPED, mapping), iter(records)
    stream = iter(records)
    peeked: list[RawRecord] = []
    found = given or None
    while found is None and len(peeked) < _MAX_PEEKED:
        record = next(stream, None)
        if record is None:
            break
        peeked.append(record)
        found = None if record.damage else recognize_format(record.value)
    if found is None and peeked and not all(record.damage for record in peeked):
        raise InvalidInput.single(_explain_unrecognized(peeked), Location(path=name))
    found = found or next(iter(FORMATS))
    return found, FORMATS[found].open(source or found), chain(peeked, stream)


def _explain_unrecognized(records: Iterable[RawRecord]) -> str:
    value = next(record.value for record in records if not record.damage)
    keys = sorted(map(str, value)) if isinstance(value, Mapping) else []
    found = f"its keys are {enumerate_values(keys)}" if keys else "its records are no objects"
    return (
        f"the format is not recognized; {found}. Name the columns, for example "
        "--map input=question,output=answer,ts=created_at, or choose a --format: "
        f"{', '.join(FORMATS)}."
    )
