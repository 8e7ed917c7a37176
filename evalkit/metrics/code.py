"""Scores code that an agent wrote by running commands on it: compiles, lint_clean, tests_passed."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import UnreadableFile, resolve_inside
from evalkit.core.trial import Output, Score
from evalkit.metrics.answer_files import parse_files, read_answer_files
from evalkit.metrics.builtin import PASSED, BuiltIn, check_pass_mark, failed_score
from evalkit.metrics.paths import ABSENT, find_value
from evalkit.metrics.test_results import TestCounts, read_junit, read_summary
from evalkit.worker.child_command import CommandResult
from evalkit.worker.limited_files import RejectedFiles, copy_folder, list_files, write_files
from evalkit.worker.limited_run import (
    CommandLimits,
    find_unshare,
    open_work_folder,
    resolve_program,
    run_limited,
)

FILE, FILES, SET = "{file}", "{files}", "{set}"
OUTPUT_TAIL_CHARACTERS = 400
"""Characters of what a command printed that explain a score: the end, where errors stand."""

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
"""What tells whether a file compiles, by the ending of its name."""


@dataclass(frozen=True, kw_only=True)
class CodeMetric(BuiltIn):
    """A metric that puts an agent's files into a folder and runs commands there.

    Args:
        of: the part of the output with the files, a mapping of paths to text.
        path: the name of the one file that an answer without such a mapping is: its longest code
            block in Markdown fences, or all of its text.
        timeout_s: seconds that one command may take.
        memory_mb: megabytes that one process may use.
        processes: processes that a command may start.
        file_mb: megabytes that a file may grow to.
        network: leave the network open.
        env: environment variables the commands get beside PATH.
    """

    surroundings: RunEnvironment
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
                raise ValueError(f"{name}: {getattr(self, name):g} leaves nothing to run with.")

    @property
    def waits(self) -> bool:
        """For the commands."""
        return True

    @property
    def caution(self) -> str:
        """That the network cannot be shut off here."""
        if self.network or find_unshare():
            return ""
        return "the agent's code is run with the network open: this system lets nobody shut it off"

    @property
    def limits(self) -> CommandLimits:
        """What each command may take."""
        return CommandLimits(
            timeout_s=self.timeout_s,
            memory_mb=int(self.memory_mb),
            processes=int(self.processes),
            file_mb=int(self.file_mb),
            network=self.network,
        )

    def check_command(self, words: Sequence[str]) -> None:
        """Refuse a command that cannot be started (ValueError)."""
        if not words:
            raise ValueError("command is empty. Write it as a list: [ruff, check, .].")
        if SET not in words[0] and resolve_program(words[0], self.surroundings.environ) is None:
            raise ValueError(f"there is no program {words[0]!r} in PATH. Install it.")

    def sources_in(self, words: Sequence[str]) -> tuple[Path, ...]:
        """The files of the set's folder that a command names."""
        named = (
            Path(word.replace(SET, str(self.surroundings.set_folder)))
            for word in words
            if SET in word
        )
        return tuple(path for path in named if path.is_file())

    def score(self, case: Case, output: Output) -> Awaitable[Score]:
        """Run what there is to run; files that cannot be taken fail."""
        return self._score(case, output)

    async def _score(self, case: Case, output: Output) -> Score:
        try:
            files = read_answer_files(output, self.of, self.path)
            async with open_work_folder(partial(self.fill_folder, case, files)) as folder:
                return await self.score_folder(files, folder)
        except RejectedFiles as refused:
            return failed_score(str(refused))

    def fill_folder(self, case: Case, files: Mapping[str, str], folder: Path) -> None:  # noqa: ARG002 - subclasses ask the case
        """Put what the commands need into a folder."""
        write_files(files, folder)

    async def score_folder(self, files: Mapping[str, str], folder: Path) -> Score:
        """Run the commands in the filled folder."""
        raise NotImplementedError

    async def run_command(
        self, words: Sequence[str], folder: Path, files: Sequence[str]
    ) -> CommandResult:
        """Run one command on some of the files."""
        # A name that begins with a dash must not become an option.
        names = [f"./{name}" if name.startswith("-") else name for name in files]
        spelled: list[str] = []
        for word in words:
            if word == FILES:
                spelled += names
            else:
                filled = word.replace(SET, str(self.surroundings.set_folder))
                spelled.append(filled.replace(FILE, names[0] if names else ""))
        return await run_limited(spelled, folder, self.limits, self.surroundings.environ, self.env)


def explain_abnormal_end(ended: CommandResult, limits: CommandLimits) -> str:
    """Why a command did not come to its own end; empty when it did."""
    if ended.exit_reason == "timeout":
        return f"took longer than {limits.timeout_s:g} s and was killed"
    if ended.exit_reason == "output_too_large":
        return "printed too much and was killed"
    if ended.exit_reason == "too_many_processes":
        return f"started more than {limits.processes} processes and was killed"
    if ended.status is None or ended.status < 0:
        return f"was killed by signal {-(ended.status or 0)}"
    return ""


def output_tail(ended: CommandResult) -> str:
    """The end of what a command printed, errors if there were some."""
    printed = ended.stderr_tail.strip() or ended.stdout.strip()
    text = printed[-4 * OUTPUT_TAIL_CHARACTERS :].decode(errors="replace").strip()
    return f"…{text[-OUTPUT_TAIL_CHARACTERS:]}" if len(text) > OUTPUT_TAIL_CHARACTERS else text


def _append_output(said: str, ended: CommandResult) -> str:
    words = output_tail(ended)
    return f"{said}: {words}" if words else said


@dataclass(frozen=True, kw_only=True)
class Compiles(CodeMetric):
    """The share of the agent's files that compile; it passes when all do.

    Args:
        command: what to run on each file, with `{file}` in it, or once on all of them, with `{files}`;
            a file compiles when the exit status is 0. Without it the ending of a file's name decides,
            and files of other kinds are passed over.
    """

    shorthand: ClassVar[str] = "command"

    command: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.command is not None:
            self.check_command(self.command)

    @property
    def sources(self) -> tuple[Path, ...]:
        """What the command names of the set's folder."""
        return self.sources_in(self.command or ())

    def _plan(self, files: Mapping[str, str]) -> list[tuple[tuple[str, ...], list[str]]]:
        if self.command and FILES in self.command:
            return [(self.command, list(files))]
        chosen = {
            name: self.command or COMPILERS.get(PurePosixPath(name).suffix.lower())
            for name in files
        }
        return [(words, [name]) for name, words in chosen.items() if words]

    async def score_folder(self, files: Mapping[str, str], folder: Path) -> Score:
        """Compile file by file."""
        planned = self._plan(files)
        if not planned:
            return failed_score(
                f"no file is of a kind that can be compiled ({', '.join(COMPILERS)})"
            )
        wrong: list[str] = []
        for words, names in planned:
            # A compiler that is not there is the metric's trouble, not the agent's.
            self.check_command(words)
            ended = await self.run_command(words, folder, names)
            trouble = explain_abnormal_end(ended, self.limits)
            if trouble or ended.status != 0:
                said = (
                    f"{names[0]}: {words[0]} {trouble}"
                    if trouble
                    else f"{names[0]} does not compile"
                )
                wrong.append(_append_output(said, ended))
        if not wrong:
            return PASSED
        share = 1 - len(wrong) / len(planned)
        return Score(value=share, passed=False, explanation=wrong[0])


@dataclass(frozen=True, kw_only=True)
class LintClean(CodeMetric):
    """Passes files in which a linter finds nothing: its exit status is 0.

    Args:
        command: the linter, as `[ruff, check, .]` or with `{files}` for the agent's files.
    """

    shorthand: ClassVar[str] = "command"

    command: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_command(self.command)

    @property
    def sources(self) -> tuple[Path, ...]:
        """What the command names of the set's folder."""
        return self.sources_in(self.command)

    async def score_folder(self, files: Mapping[str, str], folder: Path) -> Score:
        """Run the linter once."""
        ended = await self.run_command(self.command, folder, list(files))
        if trouble := explain_abnormal_end(ended, self.limits):
            return failed_score(_append_output(f"{self.command[0]} {trouble}", ended))
        if ended.status == 0:
            return PASSED
        return failed_score(
            _append_output(f"{self.command[0]} exited with status {ended.status}", ended)
        )


@dataclass(frozen=True, kw_only=True)
class TestsPassed(CodeMetric):
    """The share of tests that pass with the agent's files; it needs all of them unless told otherwise.

    The agent's files go over those of `folder`; the hidden ones of `hidden` and of the label go over
    the agent's, so that it cannot replace a test it was not given.

    Args:
        command: what runs the tests.
        folder: what the agent's files are put into, a copy of this folder of the set; `{id}` is the
            case's id.
        hidden: a folder of tests that go over it, likewise.
        expected: the part of the label with further tests, a mapping of paths to text.
        junit: the JUnit XML file the command writes, from which tests are counted.
        counts: without `junit` how they are counted: by the last line that says so as `pytest` does,
            which is the default where the command has that word, or by the exit `status` alone.
        pass_at: the share at which a trial passes.
    """

    __test__: ClassVar[bool] = False  # no test class, whatever pytest makes of its name

    shorthand: ClassVar[str] = "command"

    command: tuple[str, ...]
    folder: str = ""
    hidden: str = ""
    expected: str = "tests"
    junit: str = ""
    counts: Literal["pytest", "status"] | None = None
    pass_at: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pass_mark(self.pass_at)
        self.check_command(self.command)
        for name in ("folder", "hidden"):
            template = getattr(self, name)
            if template and not self._locate(template.partition("{id}")[0] or ".").is_dir():
                raise ValueError(f"{name}: {template!r} is no folder of the set.")

    def _locate(self, name: str) -> Path:
        try:
            return resolve_inside(name, self.surroundings.set_folder, self.surroundings.root)
        except UnreadableFile as error:
            raise ValueError(f"{name!r} {error}") from error

    def _folder_of(self, template: str, case: Case) -> Path:
        return self._locate(template.replace("{id}", case.id))

    @property
    def sources(self) -> tuple[Path, ...]:
        """What the command names of the set's folder, and all that is copied from it."""
        fixed = [t.partition("{id}")[0] or "." for t in (self.folder, self.hidden) if t]
        copied = [path for name in fixed for path in list_files(self._locate(name))]
        return (*self.sources_in(self.command), *copied)

    def _own_tests(self, case: Case) -> Json:
        return find_value(case.expected, self.expected) if self.expected else ABSENT

    def applies_to(self, case: Case) -> bool:
        """A case without any test is not for this metric."""
        return bool(self.folder or self.hidden) or self._own_tests(case) not in (ABSENT, None)

    def problem_with(self, case: Case) -> str | None:
        """Its folders are there, and its own tests are files."""
        try:
            for template in filter(None, (self.folder, self.hidden)):
                if not self._folder_of(template, case).is_dir():
                    return f"there is no folder {template.replace('{id}', case.id)!r}. Make it."
            own = self._own_tests(case)
            if own is not ABSENT and own is not None:
                parse_files(own, f"expected.{self.expected}")
        except (RejectedFiles, ValueError) as error:
            return f"{error}."
        return None

    def fill_folder(self, case: Case, files: Mapping[str, str], folder: Path) -> None:
        """The case's folder, the agent's files over it, the hidden tests over these."""
        if self.folder:
            copy_folder(self._folder_of(self.folder, case), folder)
        write_files(files, folder)
        if self.hidden:
            copy_folder(self._folder_of(self.hidden, case), folder)
        own = self._own_tests(case)
        if own is not ABSENT and own is not None:
            write_files(own, folder)

    async def score_folder(self, files: Mapping[str, str], folder: Path) -> Score:
        """Run the tests and count."""
        ended = await self.run_command(self.command, folder, list(files))
        if trouble := explain_abnormal_end(ended, self.limits):
            return failed_score(_append_output(f"the test command {trouble}", ended))
        if not self.junit and not self._counts_summary:
            if ended.status == 0:
                return PASSED
            return failed_score(
                _append_output(f"the tests exited with status {ended.status}", ended)
            )
        try:
            counts = self._count(ended, folder)
        except ValueError as error:
            return failed_score(_append_output(f"{error} (exit status {ended.status})", ended))
        return self._score_counts(counts, ended)

    @property
    def _counts_summary(self) -> bool:
        named = any("pytest" in word for word in self.command)
        return self.counts == "pytest" or (self.counts is None and named)

    def _count(self, ended: CommandResult, folder: Path) -> TestCounts:
        if not self.junit:
            counts = read_summary(ended.stdout[-20_000:].decode(errors="replace"))
            if counts is None:
                raise ValueError("no line says how many tests passed")
            return counts
        report = folder / self.junit
        if not report.is_file() or report.is_symlink():
            raise ValueError(f"no report {self.junit!r} was written")
        try:
            return read_junit(report.read_bytes())
        except ValueError as error:
            raise ValueError(f"the report {self.junit!r} cannot be read: {error}") from error

    def _score_counts(self, counts: TestCounts, ended: CommandResult) -> Score:
        if not counts.total:
            return failed_score(_append_output("not one test was run", ended))
        share = counts.passed / counts.total
        said = f"{counts.passed} of {counts.total} tests passed"
        if counts.passed == counts.total and ended.status != 0:
            return failed_score(
                _append_output(f"{said}, but the exit status is {ended.status}", ended)
            )
        explanation = _append_output(said, ended) if share < 1 else ""
        return Score(value=share, passed=share >= self.pass_at, explanation=explanation)
