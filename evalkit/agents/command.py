"""The agent kind `command`: each request starts the command, and its stdout is the answer."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from evalkit.agents.arguments import SHORTHAND, raise_problems, read_arguments
from evalkit.agents.error_line import find_error_line
from evalkit.agents.local_kind import identify_no_endpoint
from evalkit.agents.placeholders import (
    fill_text,
    find_template_problems,
    parse_template,
    to_messages,
)
from evalkit.agents.reply import bad_reply_error, to_output
from evalkit.agents.reply_text import NotJson, decode_text, read_json
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.limits import MAX_DETAIL_CHARS, MAX_REPLY_BYTES
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.safe_text import one_line, tail
from evalkit.core.trial import AgentError, Output, Request
from evalkit.trace.receiver import TraceEnvironment, open_receiver
from evalkit.worker.child_command import (
    MAX_STDERR_BYTES,
    Command,
    CommandResult,
    run_command,
)
from evalkit.worker.environment import MARK_VARIABLE, build_child_environment, find_name_problems
from evalkit.worker.process_tree import kill_marked_processes
from evalkit.worker.streams import name_signal

TRANSIENT_ERRNOS = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Errors at the start of a command that may be temporary: out of processes, memory or file descriptors."""

MAX_REASON_WIDTH = 300
"""The width of the line that names the error, in a message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandArguments:
    """The arguments under `command:`; a list in their place is `argv`.

    `argv` may have placeholders; the value of a placeholder is never split into arguments. The default of
    `stdin` is `json`, or `none` if `argv` has a placeholder. Relative paths start from `cwd`, and `cwd`
    starts from the eval set's folder.
    """

    argv: tuple[str, ...]
    stdin: Literal["json", "text", "none"] | None = None
    stdout: Literal["text", "json"] = "text"
    cwd: str = "."


def check(spec: AgentSpec, cases: Sequence[Case], environment: RunEnvironment) -> Iterator[Problem]:
    """Yield wrong arguments, a missing program, and cases that lack a value for argv."""
    for message in find_name_problems(spec.env, environment.environ):
        yield Problem(message=message, where=spec.where)
    arguments = _read(spec)
    yield from find_template_problems(arguments.argv, "argv", spec, cases)
    _find_program(arguments, spec, environment)


def entrypoint(spec: AgentSpec) -> str:
    """Return the command as it is typed in a shell."""
    return shlex.join(_read(spec).argv)


identify_endpoint = identify_no_endpoint


@asynccontextmanager
async def open(  # noqa: A001 - a function of AgentKind
    spec: AgentSpec, environment: RunEnvironment
) -> AsyncIterator[CommandAgent]:
    """Yield the agent; afterwards kill everything it started.

    Raises:
        InvalidInput: `check` finds a problem.
    """
    raise_problems(check(spec, (), environment))
    arguments = _read(spec)
    mark = f"{environment.run_id or uuid.uuid4().hex}/agent"
    command = Command(
        program=_find_program(arguments, spec, environment),
        argv=(),
        folder=environment.set_folder / arguments.cwd,
        environ=build_child_environment(environment.environ, spec.env, {MARK_VARIABLE: mark}),
    )
    async with open_receiver() as receiver:
        tracing = TraceEnvironment(receiver, spec, environment)
        try:
            yield CommandAgent(arguments, command, tracing)
        finally:
            kill_marked_processes(mark)


def _read(spec: AgentSpec) -> CommandArguments:
    line = spec.args.get(SHORTHAND, spec.args.get("argv"))
    # A string would need a shell. The generic message for a wrong type would not show the fix.
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
    except ValueError:  # a quote is not closed
        words = line.split()
    return json.dumps(words, ensure_ascii=False)


def _find_program(arguments: CommandArguments, spec: AgentSpec, environment: RunEnvironment) -> str:
    """Return the path of the program.

    Raises:
        InvalidInput: the program does not exist, or cannot be executed.
    """
    name = arguments.argv[0]
    folder = environment.set_folder / arguments.cwd
    path = folder / name
    if not folder.is_dir():
        message = f"the folder {arguments.cwd!r} ('cwd') does not exist."
    elif "{" in name:
        message = (
            f"{name!r} is not a program. The first element of 'argv' may not have a placeholder."
        )
    elif "/" not in name:
        # The child's PATH: evalkit's own, or the default if the environment has none.
        search = build_child_environment(environment.environ, spec.env).get("PATH", os.defpath)
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
        self, arguments: CommandArguments, command: Command, tracing: TraceEnvironment
    ) -> None:
        self._templates = [parse_template(text) for text in arguments.argv]
        has_placeholder = any(template.placeholders for template in self._templates)
        self._stdin = arguments.stdin or ("none" if has_placeholder else "json")
        self._stdout = arguments.stdout
        self._command = command
        self._tracing = tracing

    async def answer(self, request: Request) -> Output:
        """Run the command once, and kill everything it started."""
        with self._tracing.collector.open_trace() as trace:
            output = await self._run(request, self._tracing.trial_variables(trace, request))
            # Exporters wait for a reply, so all spans of an ended command have arrived.
            return trace.add_to_output(output)

    async def _run(self, request: Request, variables: Mapping[str, str]) -> Output:
        argv = tuple(_to_bytes(fill_text(template, request)) for template in self._templates)
        if any(b"\0" in argument for argument in argv):
            message = (
                "the request has a NUL character, which a command line cannot contain. Use stdin."
            )
            return Output(error=AgentError(kind="bad_request", message=message))
        # The mark starts with the agent's, so that either one call or all calls can be killed.
        mark = f"{self._command.mark}/{quote(_to_bytes(request.case_id), safe='')}/{request.trial}"
        environ = {**self._command.environ, **variables, MARK_VARIABLE: mark}
        command = replace(self._command, argv=argv, environ=environ)
        stdin = self._build_stdin(request)
        try:
            result = await run_command(command, stdin, timeout_s=request.timeout_s)
        except OSError as error:
            return Output(error=_describe_failed_start(error))
        failure = _describe_failure(result, request.timeout_s)
        if failure is not None:
            return Output(error=failure, latency_s=result.latency_s)
        return self._read_stdout(result)

    def _build_stdin(self, request: Request) -> bytes | None:
        if self._stdin == "none":
            return None
        if self._stdin == "text":
            return _to_bytes(request.text)
        messages = to_messages(request.messages)
        payload = {
            "input": messages if request.is_conversation else request.text,
            "messages": messages,
            "case": {"id": request.case_id, "metadata": request.metadata},
            "trial": request.trial,
            "seed": request.seed,
        }
        return json.dumps(payload).encode()

    def _read_stdout(self, result: CommandResult) -> Output:
        # The newline at the end of print() and echo is not part of the answer.
        text, flags = decode_text(result.stdout.removesuffix(b"\n").removesuffix(b"\r"))
        if self._stdout == "text" or not text.strip():
            return Output(text=text, latency_s=result.latency_s, flags=flags)
        try:
            output = to_output(read_json(text), result.latency_s)
        except NotJson as wrong:
            message = f"stdout is {wrong}. Print one JSON value, or set stdout: text."
            output = Output(error=bad_reply_error(message, text), latency_s=result.latency_s)
        return replace(output, flags=(*output.flags, *flags))


def _to_bytes(text: str) -> bytes:
    # YAML and JSON can contain lone surrogates, which strict UTF-8 cannot encode.
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


def _describe_failure(result: CommandResult, timeout_s: float) -> AgentError | None:
    kind: str = result.exit_reason
    if kind == "exited" and result.status == 0:
        return None
    # Some programs report their errors on stdout.
    output = result.stderr_tail if result.stderr_tail.strip() else result.stdout
    written = output[-MAX_STDERR_BYTES:].decode(errors="replace")
    if kind == "timeout":
        message = f"no answer within {timeout_s:g} s; the command was killed."
    elif kind == "output_too_large":
        message = f"stdout exceeded {MAX_REPLY_BYTES:,} bytes; the command was killed."
    else:
        line = one_line(find_error_line(written), MAX_REASON_WIDTH)
        kind = "exit_status" if result.status is not None and result.status > 0 else "crashed"
        how = f"exit status {result.status}"
        if kind == "crashed":
            how = f"killed by {name_signal(result.status)}"
        message = f"{how}: {line}" if line else f"{how}."
    return AgentError(kind=kind, message=message, detail=tail(written, MAX_DETAIL_CHARS))
