"""Find inputs and expected answers of a set in the files that a change edits, such as prompts.

An agent that is shown the labels passes without being better. What the same file had at the base, or
another file that no longer has it, is no leak.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.changed_files import ChangedFiles
from evalkit.ci.label_index import WHOLE_CASE, LabelIndex, Leak
from evalkit.core.eval_set import Case, EvalSet
from evalkit.core.gate_result import GateChange
from evalkit.core.location import Location
from evalkit.core.source_files import display_path
from evalkit.core.values import iter_texts

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_TOTAL_BYTES = 64 * 1024 * 1024
"""Bytes of changed files that are searched; the review names the files that are not."""

MAX_CASES = 20_000
"""Cases whose labels are searched for, which takes about a second; the review says when there are more."""

TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "testdata", "fixtures", "spec"})
"""Folders of tests, which often have the same examples: what is found there is listed, and allowed."""

MAX_BINARY_SHARE = 0.3
"""The share of bytes other than zeros that are no printable ASCII, up to which a file with zeros is text."""

_MAX_NAMED = 5
_PRINTABLE = bytes((9, 10, 13, *range(32, 127)))


@dataclass(frozen=True, slots=True)
class _Search:
    """The texts of a change, searched for labels."""

    index: LabelIndex
    files: ChangedFiles
    names: Sequence[str]

    def find_known(self, name: str) -> set[tuple[str, str]]:
        """Return what a file had of each case at the base, by case id."""
        text, _ = _read_text(self.files.tree / name)
        return _name_leaks(self.index.find(text)) if text else set()

    def find_moved(self) -> set[tuple[str, str]]:
        """Return what another file had of each case at the base and has no more; tests do not count."""
        moved: set[tuple[str, str]] = set()
        for name in self.names:
            if not _is_test(name) and (had := self.find_known(name)):
                text, _ = _read_text(self.files.top / name)
                moved |= had - _name_leaks(self.index.find(text or ""))
        return moved


def find_label_leaks(
    cases: Sequence[Case], files: ChangedFiles, excluded: Collection[str]
) -> tuple[GateChange, ...]:
    """Return the files of a change that have inputs or expected answers, and did not at the base.

    Args:
        cases: the cases of the base, whose labels the agent must not know.
        files: the files of the change.
        excluded: the files that may have labels, such as the set itself.
    """
    names = [
        name for name in files.names if name not in excluded and ".evalkit" not in name.split("/")
    ]
    if not (cases and names):
        return ()
    search = _Search(LabelIndex(cases[:MAX_CASES]), files, names)
    found: dict[str, list[Leak]] = {}
    unsearched = []
    left = MAX_TOTAL_BYTES
    for name in names:
        text, size = _read_text(files.top / name)
        left -= size
        if size > MAX_FILE_BYTES or left < 0:
            unsearched.append(name)
        elif text and not (name in files.untracked and _is_report(text)):
            found[name] = search.index.find(text)
    moved = search.find_moved() if any(found.values()) else set()
    changes = []
    for name, leaks in found.items():
        known = moved | search.find_known(name) if leaks else moved
        if new := [leak for leak in leaks if not {leak.key, (leak.case.id, WHOLE_CASE)} & known]:
            changes.append(_describe(name, new, files.top))
    if unsearched:
        changes.append(_describe_unsearched(unsearched))
    if len(cases) > MAX_CASES:
        sentence = f"only the first {MAX_CASES:,} of {len(cases):,} cases were searched for"
        changes.append(GateChange(kind="leak", sentence=sentence, loosened=False))
    return tuple(changes)


def find_prompt_leaks(before: EvalSet, now: EvalSet) -> tuple[GateChange, ...]:
    """Return what the arguments of the set's agent, such as its system prompt, have of the base's cases."""
    if now.agent is None or now.agent.kind == "recorded":
        return ()
    had, has = ("\n".join(iter_texts(one.agent and one.agent.args)) for one in (before, now))
    if had == has:
        return ()
    index = LabelIndex(before.cases[:MAX_CASES])
    known = _name_leaks(index.find(had))
    new = [leak for leak in index.find(has) if not {leak.key, (leak.case.id, WHOLE_CASE)} & known]
    if not new:
        return ()
    named = ", ".join(f"{leak.case.id} ({leak.what})" for leak in new[:_MAX_NAMED])
    more = f" and {len(new) - _MAX_NAMED:,} more" if new[_MAX_NAMED:] else ""
    return (
        GateChange(
            kind="leak",
            sentence=f"the arguments of the agent contain what it is tested with: {named}{more}",
            loosened=True,
            case_ids=tuple(leak.case.id for leak in new),
            where=now.agent.where,
        ),
    )


def _name_leaks(leaks: Sequence[Leak]) -> set[tuple[str, str]]:
    return {leak.key for leak in leaks}


def _is_test(name: str) -> bool:
    return not TEST_FOLDERS.isdisjoint(name.split("/")[:-1])


def _is_report(text: str) -> bool:
    """Return whether evalkit wrote a file, such as a report of an earlier command of the same job."""
    return "evalkit" in text or text.startswith("case,tags,status,")


def _read_text(path: Path) -> tuple[str | None, int]:
    """Return the text of a file and its size in bytes; no text for a link, a binary, or a large file."""
    try:
        if path.is_symlink() or not path.is_file():
            return None, 0
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            return None, size
        data = path.read_bytes()
    except OSError:
        return None, 0
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    if encoding == "utf-8" and b"\0" in data[:8192]:
        # UTF-16 without its mark, or records with zeros between them; what else has zeros is no text.
        if not _is_mostly_ascii(data[:8192].replace(b"\0", b"")):
            return None, 0
        data = data.replace(b"\0", b"")
    return data.decode(encoding, errors="replace"), size


def _is_mostly_ascii(data: bytes) -> bool:
    return len(data.translate(None, _PRINTABLE)) <= len(data) * MAX_BINARY_SHARE


def _describe(name: str, leaks: Sequence[Leak], top: Path) -> GateChange:
    named = ", ".join(
        f"{leak.case.id} ({leak.what}, line {leak.line})" for leak in leaks[:_MAX_NAMED]
    )
    more = f" and {len(leaks) - _MAX_NAMED:,} more" if leaks[_MAX_NAMED:] else ""
    return GateChange(
        kind="leak",
        sentence=f"{name} contains what the agent is tested with: {named}{more}",
        loosened=not _is_test(name),
        case_ids=tuple(leak.case.id for leak in leaks),
        where=Location(path=display_path(top / name), line=leaks[0].line),
    )


def _describe_unsearched(names: Sequence[str]) -> GateChange:
    more = f" and {len(names) - _MAX_NAMED:,} more" if names[_MAX_NAMED:] else ""
    return GateChange(
        kind="leak",
        sentence=f"too large to be searched for labels: {', '.join(names[:_MAX_NAMED])}{more}",
        loosened=False,
    )
