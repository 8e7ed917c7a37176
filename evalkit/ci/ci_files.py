"""Find the sets of the base that the files of a CI system no longer name, so that nobody runs them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from evalkit.ci.changed_files import ChangedFiles
from evalkit.core.location import Location
from evalkit.core.source_files import UnreadableFile, display_path, read_file

CI_FILES = (
    ".github/workflows/*",
    ".github/actions/*",
    ".gitlab-ci.yml",
    ".gitlab/*",
    ".circleci/*",
    ".buildkite/*",
    ".woodpecker*",
    ".drone.y*ml",
    ".travis.yml",
    "azure-pipelines*.y*ml",
    "bitbucket-pipelines.yml",
    ".teamcity/*",
    ".forgejo/*",
    ".gitea/*",
    ".semaphore/*",
    "appveyor.yml",
    ".appveyor.yml",
    "buildspec*.y*ml",
    "cloudbuild*.y*ml",
    "codefresh.y*ml",
    ".ci/*",
    "ci/*",
    "bin/*",
    "dagger/*",
    "scripts/*",
    "tools/*",
    ".pre-commit-config.yaml",
    "*Dockerfile*",
    "*Earthfile",
    "*Jenkinsfile*",
    "*Makefile",
    "*justfile",
    "*Taskfile.y*ml",
    "*package.json",
    "*pyproject.toml",
    "*tasks.py",
    "*tox.ini",
    "*noxfile.py",
    "*.sh",
)
"""The files in which a CI job may name the sets that it runs, from the top of the repository."""

MAX_CI_FILE_BYTES = 1_000_000

_WORD = re.compile(r"[^\s'\"`,;()\[\]{}=]+")

_SETS_INPUT = re.compile(r"^\s*(?:-\s+)?sets\s*:")
"""Where a workflow begins the list of sets for the action."""

_RUN = re.compile(r"\bevalkit['\"]?\s+run\s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """Where a file of the base names a set: the file, from the top of the repository, and the line."""

    name: str
    line: int

    def locate(self, top: Path) -> Location:
        """Return the location for messages."""
        return Location(path=display_path(top / self.name), line=self.line)


def find_dropped_mentions(
    places: Sequence[tuple[str, str]], files: ChangedFiles
) -> Iterator[tuple[str, Mention]]:
    """Yield the sets that a CI file named at the base, and that none names now.

    Args:
        places: the place of each set at the base, and where it is now.
        files: the files of the change.
    """
    edited = [name for name in files.names if is_ci_file(name)]
    # A set can also leave the pattern of a CI file that is not edited; without a pattern, that job fails.
    kept = list(_list_ci_files(files.tree)) if any(place != now for place, now in places) else []
    dropped = []
    for place, now in places:
        mentions = [_find_mention(files.tree, name, place) for name in edited]
        if place != now:
            mentions += [_find_mention(files.tree, name, place, is_pattern=True) for name in kept]
        if mention := next(filter(None, mentions), None):
            dropped.append((place, now, mention))
    if not dropped:
        return
    listed = [*edited, *_list_ci_files(files.top)]
    for place, now, mention in dropped:
        if not any(_find_mention(files.top, name, now) for name in listed):
            yield place, mention


def is_ci_file(name: str) -> bool:
    """Return whether a file, from the top of the repository, may say what a CI job runs."""
    return any(fnmatchcase(name, pattern) for pattern in CI_FILES)


def _list_ci_files(top: Path) -> Iterable[str]:
    for pattern in CI_FILES:
        # Patterns of `fnmatch` reach into folders, those of `glob` do not.
        for path in top.glob(f"{pattern[:-1]}**/*" if pattern.endswith("/*") else pattern):
            yield path.relative_to(top).as_posix()


def _find_mention(root: Path, name: str, place: str, *, is_pattern: bool = False) -> Mention | None:
    """Return where a file names a set: by its path, its name, or where it names sets by a pattern or folder.

    With `is_pattern`, only a pattern or a folder counts.
    """
    try:
        path = root / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_CI_FILE_BYTES:
            return None
        text = read_file(path).decode(errors="replace")
    except (OSError, UnreadableFile):
        return None
    input_indent: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith(("#", "//")):
            continue
        indent = len(line) - len(line.lstrip())
        if _SETS_INPUT.match(line):
            input_indent = indent
        elif line.strip() and input_indent is not None and indent <= input_indent:
            input_indent = None
        is_input = input_indent is not None
        run = None if is_input else _RUN.search(line)
        for found in _WORD.finditer(line):
            plain = found[0].removeprefix("./")
            is_named = not is_pattern and _names(plain, place)
            # A folder or a pattern leads to no hidden file, unless it names one.
            is_found = "/." not in f"/{place}" or "/." in f"/{plain}"
            is_matched = is_found and ("evalkit" in line or is_input) and _matches(plain, place)
            is_run = is_input or (run is not None and found.start() >= run.end())
            if is_named or is_matched or (is_found and is_run and _contains(found[0], place)):
                return Mention(name=name, line=number)
    return None


def _names(word: str, place: str) -> bool:
    return place == word or place.endswith(f"/{word}") or word.endswith(f"/{place}")


def _matches(word: str, place: str) -> bool:
    """Return whether a pattern of a shell matches a path or its end: only `**` reaches into folders."""
    if "**" in word:
        return fnmatchcase(place, f"*{word}")
    return "*" in word and PurePosixPath(place).match(word)


def _contains(word: str, place: str) -> bool:
    """Return whether a folder contains a path; the folder may be below the current one."""
    folder = word.removeprefix("./").rstrip("/")
    if folder in ("", "."):
        return word.startswith(".")
    return place.startswith(f"{folder}/") or ("/" in word and f"/{folder}/" in place)
