"""The agent kind `recorded`: returns the outputs in a JSONL file instead of calling an agent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from evalkit.agents.arguments import read_arguments
from evalkit.agents.conversation import find_agent_turns
from evalkit.agents.local_kind import identify_no_endpoint
from evalkit.agents.reply import REPLY_KEYS, to_output
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.format import format_count
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import (
    UnreadableFile,
    decode_utf8,
    display_path,
    read_file,
    resolve_inside,
)
from evalkit.core.trial import AgentError, Output, Request
from evalkit.worker.user_code import suggest_near_name

LINE_KEYS = ("case", "trial", *REPLY_KEYS, "replies", "error", "latency_s", "first_token_s")

MAX_RECORDING_BYTES = 2**30
"""Larger than the limit of an eval set, because a line contains a whole output."""

MAX_LATENCY_S = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedArguments:
    """The arguments under `recorded:`; a file name in their place is `file`, from the set's folder."""

    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedOutputs:
    """The content of a recording: by case id and trial, the output and its line number."""

    path: str
    outputs: Mapping[tuple[str, int], Output]
    lines: Mapping[tuple[str, int], int]


def check(spec: AgentSpec, cases: Sequence[Case], environment: RunEnvironment) -> Iterator[Problem]:
    """Yield a missing file, every invalid line, and cases or turns without an output."""
    recording = _read_recording(spec, environment)
    for case in cases:
        for trial in range(environment.trials):
            if (case.id, trial) not in recording.outputs:
                message = (
                    f"{recording.path} has no trial {trial} of case {case.id!r}. "
                    'Add a line with its "case" and "trial".'
                )
                yield Problem(message=message, where=case.where)
    wanted = {case.id: len(find_agent_turns(case)) for case in cases}
    for (case_id, trial), output in recording.outputs.items():
        replies = len(output.replies) or 1
        if output.error is None and wanted.get(case_id, 0) not in (0, replies):
            yield Problem(
                message=f"case {case_id!r} has {format_count(wanted[case_id], 'turn')} for the agent, "
                f"but this line has {replies} of 'replies'. Give one for each turn under 'replies'.",
                where=Location(path=recording.path, line=recording.lines[case_id, trial]),
            )


def entrypoint(spec: AgentSpec) -> str:
    """Return the file's name."""
    return read_arguments(spec, RecordedArguments, shorthand="file").file


identify_endpoint = identify_no_endpoint


@asynccontextmanager
async def open(  # noqa: A001 - a function of AgentKind
    spec: AgentSpec, environment: RunEnvironment
) -> AsyncIterator[RecordedAgent]:
    """Yield the agent with the whole file in memory.

    Raises:
        InvalidInput: the file is missing or has invalid lines; it lists all of them.
    """
    yield RecordedAgent(_read_recording(spec, environment))


class RecordedAgent:
    """Answers from a recording; the calls of one trial get its replies in order."""

    def __init__(self, recording: RecordedOutputs) -> None:
        self._recording = recording
        self._calls: Counter[tuple[str, int]] = Counter()

    async def answer(self, request: Request) -> Output:
        """Return the recorded output; only the last reply has usage, cost, latency and the other parts."""
        key = (request.case_id, request.trial)
        output = self._recording.outputs.get(key)
        if output is None:
            message = (
                f"{self._recording.path} has no trial {request.trial} of case {request.case_id!r}."
            )
            return Output(error=AgentError(kind="not_recorded", message=message))
        call = self._calls[key]
        self._calls[key] += 1
        # Usage and cost of a recording are those of the whole conversation, so they count once.
        if call < len(output.replies) - 1:
            return Output(text=output.replies[call])
        return replace(output, replies=())


def _read_recording(spec: AgentSpec, environment: RunEnvironment) -> RecordedOutputs:
    """Read the file that a spec names.

    Raises:
        InvalidInput: the file cannot be read or has invalid lines.
    """
    arguments = read_arguments(spec, RecordedArguments, shorthand="file")
    try:
        path = resolve_inside(arguments.file, environment.set_folder, environment.root)
        data = read_file(path, MAX_RECORDING_BYTES)
    except UnreadableFile as error:
        raise InvalidInput.single(f"recorded: {arguments.file!r} {error}", spec.where) from None
    return parse_recording(data, display_path(path))


def parse_recording(data: bytes, path: str) -> RecordedOutputs:
    """Parse the lines of a recording; a line without `trial` is the next trial of its case.

    Raises:
        InvalidInput: lines are invalid; it lists all of them.
    """
    problems: list[Problem] = []
    text = decode_utf8(data, path, problems) or ""
    outputs: dict[tuple[str, int], Output] = {}
    lines: dict[tuple[str, int], int] = {}
    counted: Counter[str] = Counter()
    # Not splitlines(): JSON text may contain U+2028 and other separators.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = Location(path=path, line=number)
        try:
            case_id, trial, output = _read_line(line)
        except _BadLine as bad:
            problems.append(Problem(message=str(bad), where=where))
            continue
        key = (case_id, counted[case_id] if trial is None else trial)
        counted[case_id] += 1
        if key in lines:
            message = f"trial {key[1]} of case {case_id!r} is already in line {lines[key]}."
            problems.append(Problem(message=f"{message} Keep one.", where=where))
        outputs[key] = output
        lines[key] = number
    if problems:
        raise InvalidInput(problems)
    return RecordedOutputs(path=path, outputs=outputs, lines=lines)


class _BadLine(Exception):
    """A line is invalid; the message says why."""


def _read_line(line: str) -> tuple[str, int | None, Output]:
    """Return the case id, the trial if the line has one, and the output."""
    try:
        entry = json.loads(line, object_pairs_hook=_refuse_duplicates)
    except RecursionError:
        raise _BadLine("the line is nested too deeply to be read.") from None
    except ValueError as error:
        raise _BadLine(f"invalid JSON: {error}") from None
    if not isinstance(entry, dict):
        raise _BadLine(f"a line must be a JSON object, not {line[:60]!r}.")
    for key in entry:
        if key not in LINE_KEYS:
            known = f" Known: {', '.join(LINE_KEYS)}."
            raise _BadLine(f"unknown key {key!r}.{suggest_near_name(key, LINE_KEYS) or known}")
    case_id, trial = entry.get("case"), entry.get("trial")
    if not isinstance(case_id, str):
        raise _BadLine(f"'case' must be the id of a case, as text, not {case_id!r}.")
    # `type`, because True is an int.
    if trial is not None and (type(trial) is not int or trial < 0):
        raise _BadLine(f"'trial' must be a whole number from 0, not {trial!r}.")
    return case_id, trial, _read_output(entry)


def _refuse_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    counts = Counter(key for key, _ in pairs)
    for key, count in counts.items():
        if count > 1:
            raise _BadLine(f"the key {key!r} is given twice. Keep one.")
    return dict(pairs)


def _read_output(entry: Mapping[str, Json]) -> Output:
    latency_s = _read_seconds(entry, "latency_s") or 0.0
    first_token_s = _read_seconds(entry, "first_token_s")
    reply = {key: value for key, value in entry.items() if key in REPLY_KEYS}
    if "error" in entry:
        if not isinstance(entry["error"], str) or reply or "replies" in entry:
            raise _BadLine("'error' must be text, and the line may have no output.")
        error = AgentError(kind="recorded_error", message=entry["error"])
        return Output(error=error, latency_s=latency_s)
    replies = _read_replies(entry)
    if replies:
        reply.setdefault("output", replies[-1])
    output = to_output(reply, latency_s)
    if output.error is not None:
        raise _BadLine(output.error.message)
    if replies and output.text != replies[-1]:
        raise _BadLine("'output' must be the last of 'replies', or missing.")
    return replace(output, replies=replies, first_token_s=first_token_s)


def _read_seconds(entry: Mapping[str, Json], key: str) -> float | None:
    if key not in entry:
        return None
    seconds: Json = entry[key]
    if type(seconds) not in (int, float) or not 0 <= seconds <= MAX_LATENCY_S:
        raise _BadLine(f"{key!r} must be a number of seconds from 0, not {seconds!r}.")
    return float(seconds)


def _read_replies(entry: Mapping[str, Json]) -> tuple[str, ...]:
    replies = entry.get("replies", [])
    if not isinstance(replies, list) or not all(isinstance(reply, str) for reply in replies):
        raise _BadLine("'replies' must be a list of texts, one for each turn the agent answers.")
    return tuple(replies)
