"""An agent that is a command: each request starts it anew, what it prints is the answer."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from evalkit.agents.arguments import SHORTHAND, read_arguments
from evalkit.agents.placeholders import (
    Template,
    fill_text,
    find_template_problems,
    parse_template,
    to_messages,
)
from evalkit.agents.reply import to_output
from evalkit.agents.reply_text import NotJson, decode_text, read_json
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.limits import MAX_DETAIL_CHARS, MAX_REPLY_BYTES
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.safe_text import head, tail
from evalkit.core.trial import AgentError, Output, Request
from evalkit.trace.receiver import TraceEnvironment, open_receiver
from evalkit.worker.child_command import Command, CommandResult, run_command
from evalkit.worker.environment import build_child_environment, find_name_problems
from evalkit.worker.process_tree import MARK_VARIABLE, kill_marked_processes

TRANSIENT_ERRNOS = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Why a start fails that may succeed later: no process, memory or file descriptor left just now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandArguments:
    """What stands under `command:`; a list in its place is `argv`.

    `argv` may hold placeholders; the value of one is always a part of one argument, whatever is in
    it. `stdin` is `json` unless `argv` has a placeholder: then nothing is sent. Relative paths start
    from `cwd`, and that from the eval set's folder.
    """

    argv: tuple[str, ...]
    stdin: Literal["json", "text", "none"] | None = None
    stdout: Literal["text", "json"] = "text"
    cwd: str = "."


def check(spec: AgentSpec, cases: Sequence[Case], surroundings: RunEnvironment) -> list[Problem]:
    """Find wrong arguments, a program that is not there, and cases that lack what argv asks for."""
    problems = [
        Problem(message=message, where=spec.where)
        for message in find_name_problems(spec.env, surroundings.environ)
    ]
    try:
        arguments = _read(spec)
    except InvalidInput as invalid:
        return [*problems, *invalid.problems]
    problems += find_template_problems(arguments.argv, "argv", spec, cases)
    try:
        _find_program(arguments, spec, surroundings)
    except InvalidInput as invalid:
        problems += invalid.problems
    return problems


def entrypoint(spec: AgentSpec) -> str:
    """The command as one would type it."""
    return shlex.join(_read(spec).argv)


@asynccontextmanager
async def open(  # noqa: A001 - every kind of agent has a check, an open and an entrypoint
    spec: AgentSpec, surroundings: RunEnvironment
) -> AsyncIterator[CommandAgent]:
    """Yield the agent; afterwards nothing that it started is alive.

    Raises:
        InvalidInput: what `check` would find.
    """
    problems = check(spec, (), surroundings)
    if problems:
        raise InvalidInput(problems)
    arguments = _read(spec)
    mark = f"{surroundings.run_id or uuid.uuid4().hex}/agent"
    start = Command(
        program=_find_program(arguments, spec, surroundings),
        argv=(),
        folder=surroundings.set_folder / arguments.cwd,
        environ=build_child_environment(surroundings.environ, spec.env, {MARK_VARIABLE: mark}),
    )
    async with open_receiver() as receiver:
        try:
            yield CommandAgent(arguments, start, TraceEnvironment(receiver, spec, surroundings))
        finally:
            kill_marked_processes(mark)


def _read(spec: AgentSpec) -> CommandArguments:
    line = spec.args.get(SHORTHAND, spec.args.get("argv"))
    if isinstance(line, str):
        message = f"command: {line!r} must be a list. Write: command: {_to_yaml_list(line)}"
        raise InvalidInput.single(message, spec.where)
    arguments = read_arguments(spec, CommandArguments, shorthand="argv")
    if not arguments.argv:
        raise InvalidInput.single(
            "command: 'argv' is empty. Write: command: [python, my_agent.py]", spec.where
        )
    return arguments


def _to_yaml_list(line: str) -> str:
    try:
        words = shlex.split(line)
    except ValueError:  # quotes that do not match
        words = line.split()
    return json.dumps(words, ensure_ascii=False)


def _find_program(
    arguments: CommandArguments, spec: AgentSpec, surroundings: RunEnvironment
) -> str:
    """The path of the program.

    Raises:
        InvalidInput: there is none, or it cannot be run.
    """
    name = arguments.argv[0]
    folder = surroundings.set_folder / arguments.cwd
    path = folder / name
    if not folder.is_dir():
        message = f"the folder {arguments.cwd!r} ('cwd') does not exist."
    elif "{" in name:
        message = f"{name!r} names no program. The first of 'argv' is never filled in."
    elif "/" not in name:
        search = build_child_environment(surroundings.environ, spec.env).get("PATH", os.defpath)
        found = shutil.which(name, path=search)
        if found:
            return str(Path(found).absolute())
        message = f"there is no program {name!r} in PATH. Install it, or give its path."
    elif not path.is_file():
        message = f"there is no program {str(path)!r}. Correct 'argv' or 'cwd'."
    elif not os.access(path, os.X_OK):
        message = f"{str(path)!r} is not executable. Run: chmod +x {shlex.quote(str(path))}"
    else:
        return str(path.absolute())
    raise InvalidInput.single(f"command: {message}", spec.where)


class CommandAgent:
    """Starts its command once for every request."""

    def __init__(
        self, arguments: CommandArguments, start: Command, tracing: TraceEnvironment
    ) -> None:
        self._templates: list[Template] = [parse_template(text) for text in arguments.argv]
        has_placeholder = any(template.placeholders for template in self._templates)
        self._stdin = arguments.stdin or ("none" if has_placeholder else "json")
        self._stdout = arguments.stdout
        self._base_command = start
        self._trace_environment = tracing

    async def answer(self, request: Request) -> Output:
        """Run the command once; it and everything it started is dead afterwards."""
        with self._trace_environment.collector.open_trace() as trace:
            output = await self._run(
                request, self._trace_environment.trial_variables(trace, request)
            )
            # Exporters wait for an answer, so that what an ended command has sent is all here.
            return trace.add_to_output(output)

    async def _run(self, request: Request, variables: Mapping[str, str]) -> Output:
        argv = tuple(_to_bytes(fill_text(template, request)) for template in self._templates)
        if any(b"\0" in argument for argument in argv):
            message = "the request holds a NUL character, which no command line can. Use stdin."
            return Output(error=AgentError(kind="bad_request", message=message))
        mark = f"{self._base_command.mark}/{quote(_to_bytes(request.case_id), safe='')}/{request.trial}"
        command = replace(
            self._base_command,
            argv=argv,
            environ={**self._base_command.environ, **variables, MARK_VARIABLE: mark},
        )
        try:
            ended = await run_command(
                command, self._build_stdin(request), timeout_s=request.timeout_s
            )
        except OSError as error:
            return Output(error=_describe_failed_start(error))
        failure = _describe_failure(ended, request.timeout_s)
        if failure is not None:
            return Output(error=failure, latency_s=ended.latency_s)
        return self._read_stdout(ended)

    def _build_stdin(self, request: Request) -> bytes | None:
        if self._stdin == "none":
            return None
        if self._stdin == "text":
            return _to_bytes(request.text)
        messages = to_messages(request.messages)
        question = {
            "input": messages if request.is_conversation else request.text,
            "messages": messages,
            "case": {"id": request.case_id, "metadata": request.metadata},
            "trial": request.trial,
            "seed": request.seed,
        }
        return json.dumps(question).encode()

    def _read_stdout(self, ended: CommandResult) -> Output:
        # The newline that print() and echo end with is no part of the answer.
        printed = ended.stdout.removesuffix(b"\n").removesuffix(b"\r")
        text, flags = decode_text(printed)
        if self._stdout == "text" or not text.strip():
            return Output(text=text, latency_s=ended.latency_s, flags=flags)
        try:
            reply = read_json(text)
        except NotJson as wrong:
            message = f"stdout is {wrong}. Print one JSON value, or set stdout: text."
            error = AgentError(
                kind="bad_reply", message=message, detail=head(text, MAX_DETAIL_CHARS)
            )
            return Output(error=error, latency_s=ended.latency_s, flags=flags)
        output = to_output(reply, ended.latency_s)
        return replace(output, flags=(*output.flags, *flags))


def _to_bytes(text: str) -> bytes:
    # YAML and JSON can hold lone surrogates, which UTF-8 proper has no bytes for.
    return text.encode("utf-8", "surrogatepass")


def _describe_failed_start(error: OSError) -> AgentError:
    if error.errno == errno.E2BIG:
        message = "the request is too long for a command line. Let the command read stdin."
        return AgentError(kind="bad_request", message=message)
    return AgentError(
        kind="not_started",
        message=f"the command could not be started: {error.strerror or error}.",
        retryable=error.errno in TRANSIENT_ERRNOS,
    )


def _describe_failure(ended: CommandResult, timeout_s: float) -> AgentError | None:
    detail = tail(ended.stderr_tail.decode(errors="replace"), MAX_DETAIL_CHARS)
    if ended.exit_reason == "timeout":
        message = f"no answer within {timeout_s:g} s; the command was killed."
        return AgentError(kind="timeout", message=message, detail=detail)
    if ended.exit_reason == "output_too_large":
        message = f"stdout went over {MAX_REPLY_BYTES:,} bytes; the command was killed."
        return AgentError(kind="output_too_large", message=message, detail=detail)
    if ended.status is None or ended.status < 0:
        message = f"the command was killed by {_name_signal(ended.status)}."
        return AgentError(kind="crashed", message=message, detail=detail)
    if ended.status > 0:
        message = f"the command exited with status {ended.status}."
        return AgentError(kind="exit_status", message=message, detail=detail)
    return None


def _name_signal(status: int | None) -> str:
    try:
        return signal.Signals(-(status or 0)).name
    except ValueError:
        return f"signal {-(status or 0)}"
