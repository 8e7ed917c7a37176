"""Create the private git folder through which a checkout is read: its objects, none of its settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from evalkit.ci.borrowed_objects import HEAD_REF, NO_USER_CONFIG, Repository
from evalkit.core.git import run_git

_REF_FORMAT = "--format=%(objectname) %(refname) %(symref)"


def open_repository(top: Path, folder: Path, environ: Mapping[str, str]) -> Repository | None:
    """Return the checkout at `top`, read through a new private git folder; None if it has no commit.

    Raises:
        OSError: git is not installed, or the folder cannot be written.
    """

    def read(*arguments: str) -> str:
        done = run_git(top, environ, f"--git-dir={top / '.git'}", *arguments, extra=NO_USER_CONFIG)
        return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else ""

    asked = ("--git-common-dir", "--show-object-format", "HEAD")
    # A path may contain a line break, but a format and an id do not.
    lines = read("rev-parse", *asked).removesuffix("\n").rsplit("\n", 2)
    if len(lines) < 3:
        return None
    common, algorithm, head = top / lines[0], lines[1], lines[2]
    _write_private_folder(folder, common, algorithm)
    (folder / "refs" / "evalkit").mkdir()
    (folder / HEAD_REF).write_text(f"{head}\n")
    rows = [row.split(" ") for row in read("for-each-ref", _REF_FORMAT).splitlines()]
    config = [
        (key, value)
        for key, _, value in (
            row.partition("\n")
            for row in read("config", "--local", "--includes", "-z", "--list").split("\0")
        )
    ]
    repository = Repository(
        top=top,
        folder=folder,
        common=common,
        environ=environ,
        head=head,
        refs={name: sha for sha, name, _ in rows},
        symbolic_refs={name: target for _, name, target in rows if target},
        remotes={
            key[len("remote.") : -len(".url")]: value
            for key, value in reversed(config)
            if key.startswith("remote.") and key.endswith(".url")
        },
        headers=[
            (key, value)
            for key, value in config
            if key.startswith("http.") and key.endswith((".extraheader", ".proxy"))
        ],
        algorithm=algorithm,
    )
    _write_shallow_file(repository, common / "shallow")
    return repository


def _write_private_folder(folder: Path, common: Path, algorithm: str) -> None:
    for name in ("objects/info", "refs"):
        (folder / name).mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/evalkit/none\n")
    lines = ["[core]", "repositoryFormatVersion = 1", "bare = true"]
    if algorithm != "sha1":
        lines += ["[extensions]", f"objectFormat = {algorithm}"]
    (folder / "config").write_text("".join(f"{line}\n" for line in lines))
    objects = os.fsencode(common / "objects")
    (folder / "objects" / "info" / "alternates").write_bytes(objects + b"\n")


def _write_shallow_file(repository: Repository, file: Path) -> None:
    """Write the commits at which the history really ends, whatever else the checkout's file lists."""
    try:
        listed = file.read_text().split()
    except (OSError, ValueError):
        return
    parents: dict[str, list[str]] = {}
    present = [sha for sha in listed if sha not in set(repository.list_missing(listed))]
    for found in repository.read_objects(present):
        rows = found.content.split(b"\n\n", 1)[0].splitlines()
        parents[found.sha] = [row[7:].decode() for row in rows if row.startswith(b"parent ")]
    missing = set(repository.list_missing({sha for known in parents.values() for sha in known}))
    ends = [sha for sha, known in parents.items() if missing.intersection(known)]
    if ends:
        (repository.folder / "shallow").write_text("".join(f"{sha}\n" for sha in ends))
