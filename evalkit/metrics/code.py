"""Score code that an agent wrote by running commands on it: compiles, lint_clean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Score
from evalkit.metrics.answer_files import read_answer_files
from evalkit.metrics.builtin import PASSED, BuiltIn, failed_score
from evalkit.worker.child_command import CommandResult
from evalkit.worker.limited_files import RejectedFiles, write_files
from evalkit.worker.limited_run import (
    CommandLimits,
    find_unshare,
    open_work_folder,
    resolve_program,
    run_limited,
)

FILE, FILES, SET = "{file}", "{files}", "{set}"
OUTPUT_TAIL_CHARS = 400
"""Characters of a command's output that explain a score: the end, where errors usually are."""

# Commands that only parse, where the language has one. `go build` would need a module.
COMPILERS: Mapping[str, tuple[str, ...]] = {
    ".py": ("python", "-m", "py_compile", FILE),
    ".js": ("node", "--check", FILE),
    ".mjs": ("node", "--check", FILE),
    ".c": ("cc", "-fsyntax-only", FILE),
    ".cc": ("c++", "-fsyntax-only", FILE),
    ".cpp": ("c++", "-fsyntax-only", FILE),
    ".sh": ("bash", "-n", FILE),
    ".rb": ("ruby", "-c", FILE),
    ".php": ("php", "-l", FILE),
    ".go": ("gofmt", "-e", "-l", FILE),
    ".java": ("javac", "-d", ".", FILE),
}
"""The command that checks whether a file compiles, by the extension of its name."""


@dataclass(frozen=True, kw_only=True)
class CodeMetric(BuiltIn):
    """A metric that writes an agent's files into a folder and runs a command there.

    Args:
        command: the command.
        of: the part of the output with the files, a mapping of paths to text.
        path: the name of the file for an answer without such a mapping; its content is the longest
            code block in Markdown fences, or all of the answer's text.
        timeout_s: seconds that one command may take.
        memory_mb: megabytes of memory that one process may use.
        processes: processes that a command may start.
        file_mb: megabytes that one file may have.
        network: leave the network open.
        env: environment variables that the commands get in addition to PATH.
    """

    shorthand: ClassVar[str] = "command"

    environment: RunEnvironment
    command: tuple[str, ...] | None = None
    of: str = "data.files"
    path: str = ""
    timeout_s: float = 10.0
    memory_mb: float = 512
    processes: float = 64
    file_mb: float = 20
    network: bool = False
    env: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("timeout_s", "memory_mb", "processes", "file_mb"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name):g} is not more than 0.")
        if self.command is not None:
            self.check_command(self.command)

    @property
    def revision(self) -> int:
        """The version; code in the answer's text is found as CommonMark says since the next one."""
        return self.version + bool(self.path)

    @property
    def waits(self) -> bool:
        """True: scoring waits for the commands."""
        return True

    @property
    def caution(self) -> str:
        """A warning if this system cannot close the network."""
        if self.network or find_unshare():
            return ""
        return "the agent's code runs with the network open: this system cannot close it"

    @property
    def limits(self) -> CommandLimits:
        """The limits of each command."""
        return CommandLimits(
            timeout_s=self.timeout_s,
            memory_mb=int(self.memory_mb),
            processes=int(self.processes),
            file_mb=int(self.file_mb),
            network=self.network,
        )

    def check_command(self, words: Sequence[str]) -> None:
        """Raise ValueError for a command that cannot be started."""
        if not words:
            raise ValueError("command is empty. Write it as a list: [ruff, check, .].")
        if SET not in words[0] and resolve_program(words[0], self.environment.environ) is None:
            raise ValueError(f"there is no program {words[0]!r} in PATH. Install it.")

    @property
    def sources(self) -> tuple[Path, ...]:
        """Files in the eval set's folder that the command names."""
        named = (Path(self._fill_set(word)) for word in self.command or () if SET in word)
        return tuple(path for path in named if path.is_file())

    def _fill_set(self, word: str) -> str:
        return word.replace(SET, str(self.environment.set_folder))

    async def score(self, case: Case, output: Output) -> Score:
        """Run the commands; files that cannot be written fail the trial."""
        try:
            files = read_answer_files(output, self.of, self.path)
            async with open_work_folder(partial(self.fill_folder, case, files)) as folder:
                return await self.score_folder(files, folder)
        except RejectedFiles as rejected:
            return failed_score(str(rejected))

    def fill_folder(self, case: Case, files: Mapping[str, str], folder: Path) -> None:  # noqa: ARG002 - subclasses use the case
        """Write what the commands need into a folder."""
        write_files(files, folder)

    async def score_folder(self, files: Mapping[str, str], folder: Path) -> Score:
        """Run the commands in the filled folder."""
        raise NotImplementedError

    async def run_command(
        self, words: Sequence[str], folder: Path, files: Sequence[str]
    ) -> CommandResult:
        """Run one command on some of the files."""
        # A program takes a name that begins with a dash for an option.
        names = [f"./{name}" if name.startswith("-") else name for name in files]
        argv: list[str] = []
        for word in words:
            if word == FILES:
                argv += names
            else:
                argv.append(self._fill_set(word).replace(FILE, names[0] if names else ""))
        return await run_limited(argv, folder, self.limits, self.environment.environ, self.env)


def explain_abnormal_end(result: CommandResult, limits: CommandLimits) -> str:
    """Return why a command was stopped; empty if it exited by itself."""
    if result.exit_reason == "timeout":
        return f"took longer than {limits.timeout_s:g} s and was killed"
    if result.exit_reason == "output_too_large":
        return "printed too much and was killed"
    if result.exit_reason == "too_many_processes":
        return f"started more than {limits.processes} processes and was killed"
    if result.status is None or result.status < 0:
        return f"was killed by signal {-(result.status or 0)}"
    return ""


def append_output(message: str, result: CommandResult) -> str:
    """Return a message with the end of a command's stderr, or of its stdout if stderr is empty."""
    printed = result.stderr_tail.strip() or result.stdout.strip()
    # A character of UTF-8 takes at most four bytes.
    text = printed[-4 * OUTPUT_TAIL_CHARS :].decode(errors="replace").strip()
    tail = f"…{text[-OUTPUT_TAIL_CHARS:]}" if len(text) > OUTPUT_TAIL_CHARS else text
    return f"{message}: {tail}" if tail else message


@dataclass(frozen=True, kw_only=True)
class Compiles(CodeMetric):
    """The share of the agent's files that compile; a trial passes when all do.

    Args:
        command: what to run on each file, with `{file}` in it, or once on all of them, with `{files}`;
            a file compiles when the exit status is 0. Without it the extension of a file decides,
            and files of other types are skipped.
    """

    def _plan(self, files: Mapping[str, str]) -> list[tuple[tuple[str, ...], list[str]]]:
        if self.command and FILES in self.command:
            return [(self.command, list(files))]
        chosen = {
            name: self.command or COMPILERS.get(PurePosixPath(name).suffix.lower())
            for name in files
        }
        return [(words, [name]) for name, words in chosen.items() if words]

    async def score_folder(self, files: Mapping[str, str], folder: Path) -> Score:
        """Compile every file."""
        planned = self._plan(files)
        if not planned:
            return failed_score(f"no file can be compiled; known types: {', '.join(COMPILERS)}")
        failures: list[str] = []
        for words, names in planned:
            # A missing compiler is an error of the metric, not of the agent.
            self.check_command(words)
            result = await self.run_command(words, folder, names)
            if reason := explain_abnormal_end(result, self.limits):
                failures.append(append_output(f"{names[0]}: {words[0]} {reason}", result))
            elif result.status != 0:
                failures.append(append_output(f"{names[0]} does not compile", result))
        if not failures:
            return PASSED
        share = 1 - len(failures) / len(planned)
        return Score(value=share, passed=False, explanation=failures[0])


@dataclass(frozen=True, kw_only=True)
class LintClean(CodeMetric):
    """Passes files in which a linter finds nothing: it exits with status 0.

    Args:
        command: the linter, as in `[ruff, check, .]`; `{files}` means the agent's files.
    """

    command: tuple[str, ...] = field()

    async def score_folder(self, files: Mapping[str, str], folder: Path) -> Score:
        """Run the linter once."""
        result = await self.run_command(self.command, folder, list(files))
        reason = explain_abnormal_end(result, self.limits)
        if not reason and result.status == 0:
            return PASSED
        reason = reason or f"exited with status {result.status}"
        return failed_score(append_output(f"{self.command[0]} {reason}", result))
