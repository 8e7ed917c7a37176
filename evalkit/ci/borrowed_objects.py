"""Read commits and files of a checkout through a private git folder that borrows only its objects.

The checkout's configuration, hooks, attributes, index, replacement refs, and grafts have no effect there.
What is fetched goes into the private folder, so that the checkout stays as it is.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evalkit.core.errors import StoreError
from evalkit.core.git import FETCH_TIMEOUT_S, git_command, run_git

NO_USER_CONFIG = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
"""Variables with which git reads no configuration but that of the repository."""

HEAD_REF = "refs/evalkit/head"
"""The ref of the private folder that names the commit under test."""


class GitObject(NamedTuple):
    """An object whose content matches its id."""

    sha: str
    kind: str
    content: bytes


class TreeEntry(NamedTuple):
    """One entry of a tree, with its path from the top folder."""

    path: str
    mode: str
    sha: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A checkout: its top folder, its commit `head`, refs, and remotes, and the private git folder.

    `common` is the checkout's own git folder. `headers` are the HTTP headers and
    proxies for fetching that CI stored in the checkout's configuration.
    """

    top: Path
    folder: Path
    common: Path
    environ: Mapping[str, str]
    head: str
    refs: Mapping[str, str]
    symbolic_refs: Mapping[str, str]
    remotes: Mapping[str, str]
    headers: Sequence[tuple[str, str]] = ()
    algorithm: str = "sha1"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run git in the private folder.

        Raises:
            OSError: git is not installed.
        """
        return run_git(
            self.top,
            self.environ,
            *arguments,
            extra={**NO_USER_CONFIG, "GIT_DIR": str(self.folder)},
        )

    def query(self, *arguments: str) -> str:
        """Return git's output, stripped; empty if git fails."""
        try:
            done = self.run(*arguments)
        except OSError:
            return ""
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""

    def resolve_commit(self, sha: str) -> str:
        """Return the commit that an object id or a ref of the private folder names; empty if missing."""
        return self.query(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{sha}^{{commit}}"
        )

    @property
    def is_shallow(self) -> bool:
        """Whether part of the history is missing."""
        return (self.folder / "shallow").exists()

    def fetch(self, remote: str, sources: Sequence[str], *options: str) -> bool:
        """Fetch refspecs from a remote into the private folder; return whether that worked."""
        command = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules")
        done = self._call_remote(remote, (*command, *options), tuple(sources))
        return done is not None

    def ask_remote(self, remote: str) -> str:
        """Return the line of a remote that names its default branch; empty if it cannot be reached."""
        return self._call_remote(remote, ("ls-remote", "--symref"), ("HEAD",)) or ""

    def _call_remote(
        self, remote: str, command: Sequence[str], sources: Sequence[str]
    ) -> str | None:
        """Return the output of a git command that connects to a remote; None if it fails."""
        url = self.remotes.get(remote, "")
        if not url or url.startswith("-"):
            return None
        headers = [*self.headers, *_read_config_variables(self.environ)]
        config = {"GIT_CONFIG_COUNT": str(len(headers))}
        for number, (key, value) in enumerate(headers):
            config |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        try:
            done = run_git(
                self.top,
                self.environ,
                *(*command, "--", url, *sources),
                extra={**config, "GIT_DIR": str(self.folder)},
                network=True,
                timeout_s=FETCH_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None

    def read_objects(self, ids: Sequence[str]) -> Iterator[GitObject]:
        """Yield objects in the order of their ids, and fetch those that a partial clone left out.

        Raises:
            StoreError: an object is missing, or its content does not match its id.
        """
        if missing := self.list_missing(ids):
            for remote in self.remotes:
                self.fetch(remote, missing)
        yield from _read_batch(self, ids)

    def list_missing(self, ids: Collection[str]) -> list[str]:
        """Return the ids without an object here."""
        rows = _ask_batch(self, "--batch-check=%(objectname)", ids).splitlines()
        return [row.split()[0] for row in rows if row.endswith(" missing")]

    def read_tree(self, commit: str) -> list[TreeEntry]:
        """Return all files, links, and submodules of a commit.

        Raises:
            StoreError: an object is missing, or its content does not match its id.
        """
        [found] = self.read_objects([commit])
        root = found.content.split(b"\n", 1)[0].removeprefix(b"tree ").decode()
        entries: list[TreeEntry] = []
        level = [("", root)]
        while level:
            trees = {each.sha: each.content for each in self.read_objects(_unique(level))}
            found_entries = [
                entry
                for prefix, sha in level
                for entry in _parse_tree(prefix, trees[sha], len(bytes.fromhex(root)))
            ]
            level = [(f"{each.path}/", each.sha) for each in found_entries if each.mode == "40000"]
            entries += [each for each in found_entries if each.mode != "40000"]
        return entries


def _unique(level: Sequence[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(sha for _, sha in level))


def _parse_tree(prefix: str, content: bytes, size: int) -> Iterator[TreeEntry]:
    """Yield the entries of a tree object: mode, space, name, NUL, and the bytes of the id."""
    start = 0
    while start < len(content):
        end = content.index(b"\0", start)
        mode, name = content[start:end].split(b" ", 1)
        sha = content[end + 1 : end + 1 + size].hex()
        yield TreeEntry(prefix + os.fsdecode(name), mode.decode(), sha)
        start = end + 1 + size


def _ask_batch(repository: Repository, how: str, ids: Collection[str]) -> str:
    command, variables = git_command(repository.top, repository.environ, "cat-file", how)
    done = subprocess.run(
        command,
        cwd=repository.top,
        env={**variables, **NO_USER_CONFIG, "GIT_DIR": str(repository.folder)},
        input="".join(f"{sha}\n" for sha in ids).encode(),
        capture_output=True,
        check=False,
    )
    return done.stdout.decode(errors="replace")


def _read_batch(repository: Repository, ids: Sequence[str]) -> Iterator[GitObject]:
    command, variables = git_command(repository.top, repository.environ, "cat-file", "--batch")
    with (
        tempfile.TemporaryFile(dir=repository.folder) as asked,
        tempfile.TemporaryFile(dir=repository.folder) as errors,
    ):
        asked.write("".join(f"{sha}\n" for sha in ids).encode())
        asked.seek(0)
        with subprocess.Popen(
            command,
            cwd=repository.top,
            env={**variables, **NO_USER_CONFIG, "GIT_DIR": str(repository.folder)},
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process:
            stream = process.stdout
            if stream is None:
                raise AssertionError("stdout is a pipe")
            for sha in ids:
                row = stream.readline().decode(errors="replace").split()
                if len(row) != 3:
                    process.kill()
                    raise StoreError(
                        f"git object {sha[:10]} is missing here and could not be fetched. "
                        f"Clone the repository again."
                    )
                content = stream.read(int(row[2]))
                stream.read(1)
                _verify(sha, row[1], content, repository.algorithm)
                yield GitObject(sha, row[1], content)


def _verify(sha: str, kind: str, content: bytes, algorithm: str) -> None:
    """Check an object against its id, because git itself believes what is in its object folder."""
    found = hashlib.new(algorithm, f"{kind} {len(content)}\0".encode(), usedforsecurity=False)
    found.update(content)
    if found.hexdigest() != sha:
        raise StoreError(
            f"git object {sha[:10]} does not match its id. Clone the repository again."
        )


def _read_config_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the credentials and headers in `GIT_CONFIG_KEY_n`; other settings could redirect git."""
    count = environ.get("GIT_CONFIG_COUNT", "")
    for number in range(int(count) if count.isdigit() else 0):
        key = environ.get(f"GIT_CONFIG_KEY_{number}", "")
        if key.lower().startswith("credential.") or key.lower().endswith(".extraheader"):
            yield key, environ.get(f"GIT_CONFIG_VALUE_{number}", "")
