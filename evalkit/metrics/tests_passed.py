"""Score code that an agent wrote by running tests on it: tests_passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.source_files import UnreadableFile, resolve_inside
from evalkit.core.trial import Score
from evalkit.core.values import ABSENT, find_value
from evalkit.metrics.answer_files import parse_files
from evalkit.metrics.builtin import PASSED, check_pass_mark, failed_score
from evalkit.metrics.code import CodeMetric, append_output, explain_abnormal_end
from evalkit.metrics.test_results import TestCounts, read_junit, read_summary
from evalkit.worker.child_command import CommandResult
from evalkit.worker.limited_files import RejectedFiles, copy_folder, list_files, write_files

ID = "{id}"


@dataclass(frozen=True, kw_only=True)
class TestsPassed(CodeMetric):
    """The share of tests that pass with the agent's files; by default a trial needs all of them.

    The agent's files replace those of `folder`. The hidden tests of `hidden` and of the label replace
    the agent's files, so that it cannot replace a test that it was not given.

    Args:
        command: the command that runs the tests.
        folder: a folder, relative to the eval set's; the agent's files are written into a copy of it.
            `{id}` in the path means the case's id.
        hidden: a folder of tests that are then copied over the agent's files; it may contain `{id}`.
        expected: the part of the label with further tests, a mapping of paths to text.
        junit: the JUnit XML file that the command writes, in which tests are counted.
        counts: how to count tests without `junit`. `pytest` reads the last line with counts and is the
            default for a command that contains this word; `status` uses only the exit status.
        pass_at: the share at which a trial passes.
    """

    __test__: ClassVar[bool] = False  # pytest would take it for a test class

    command: tuple[str, ...] = field()
    folder: str = ""
    hidden: str = ""
    expected: str = "tests"
    junit: str = ""
    counts: Literal["pytest", "status"] | None = None
    pass_at: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pass_mark(self.pass_at)
        for name in ("folder", "hidden"):
            template = getattr(self, name)
            if template and not self._fixed_folder(template).is_dir():
                raise ValueError(f"{name}: {template!r} is not a folder of the set.")

    def _locate(self, name: str) -> Path:
        try:
            return resolve_inside(name, self.environment.set_folder, self.environment.root)
        except UnreadableFile as error:
            raise ValueError(f"{name!r} {error}") from error

    def _fixed_folder(self, template: str) -> Path:
        """Return the part of a folder's path that is the same for all cases."""
        return self._locate(template.partition(ID)[0] or ".")

    def _folder_of(self, template: str, case: Case) -> Path:
        return self._locate(template.replace(ID, case.id))

    @property
    def sources(self) -> tuple[Path, ...]:
        """Files that the command names in the eval set's folder, and all that are copied from it."""
        fixed = [
            self._fixed_folder(template) for template in (self.folder, self.hidden) if template
        ]
        copied = [path for folder in fixed for path in list_files(folder)]
        return (*super().sources, *copied)

    def _label_tests(self, case: Case) -> Json:
        tests = find_value(case.expected, self.expected) if self.expected else None
        return None if tests is ABSENT else tests

    def applies_to(self, case: Case) -> bool:
        """Return whether there is any test for the case."""
        return bool(self.folder or self.hidden) or self._label_tests(case) is not None

    def problem_with(self, case: Case) -> str | None:
        """Return what is wrong with the case's folders or the tests of its label, or None."""
        try:
            for template in filter(None, (self.folder, self.hidden)):
                if not self._folder_of(template, case).is_dir():
                    return f"there is no folder {template.replace(ID, case.id)!r}. Create it."
            if (tests := self._label_tests(case)) is not None:
                parse_files(tests, f"expected.{self.expected}")
        except (RejectedFiles, ValueError) as error:
            return f"{error}."
        return None

    def fill_folder(self, case: Case, files: Mapping[str, str], folder: Path) -> None:
        """Write the case's folder, then the agent's files, then the hidden tests."""
        if self.folder:
            copy_folder(self._folder_of(self.folder, case), folder)
        write_files(files, folder)
        if self.hidden:
            copy_folder(self._folder_of(self.hidden, case), folder)
        if (tests := self._label_tests(case)) is not None:
            write_files(tests, folder)

    async def score_folder(self, files: Mapping[str, str], folder: Path) -> Score:
        """Run the tests and count those that pass."""
        result = await self.run_command(self.command, folder, list(files))
        if reason := explain_abnormal_end(result, self.limits):
            return failed_score(append_output(f"the test command {reason}", result))
        if not self.junit and not self._counts_summary:
            if result.status == 0:
                return PASSED
            return failed_score(
                append_output(f"the tests exited with status {result.status}", result)
            )
        try:
            counts = self._count(result, folder)
        except ValueError as error:
            return failed_score(append_output(f"{error} (exit status {result.status})", result))
        return self._score_counts(counts, result)

    @property
    def _counts_summary(self) -> bool:
        is_pytest = any("pytest" in word for word in self.command)
        return self.counts == "pytest" or (self.counts is None and is_pytest)

    def _count(self, result: CommandResult, folder: Path) -> TestCounts:
        if not self.junit:
            counts = read_summary(result.stdout[-20_000:].decode(errors="replace"))
            if counts is None:
                raise ValueError("no line says how many tests passed")
            return counts
        report = folder / self.junit
        # A symbolic link could point to any file of the machine.
        if not report.is_file() or report.is_symlink():
            raise ValueError(f"no report {self.junit!r} was written")
        try:
            return read_junit(report.read_bytes())
        except ValueError as error:
            raise ValueError(f"the report {self.junit!r} cannot be read: {error}") from error

    def _score_counts(self, counts: TestCounts, result: CommandResult) -> Score:
        if not counts.total:
            return failed_score(append_output("no test was run", result))
        share = counts.passed / counts.total
        message = f"{counts.passed} of {counts.total} tests passed"
        # A plugin or an agent's file may end the test run early, with all tests so far passed.
        if share == 1 and result.status != 0:
            return failed_score(
                append_output(f"{message}, but the exit status is {result.status}", result)
            )
        explanation = append_output(message, result) if share < 1 else ""
        return Score(value=share, passed=share >= self.pass_at, explanation=explanation)
