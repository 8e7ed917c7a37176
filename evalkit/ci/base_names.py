"""Resolve the name of a base to one commit, so that no tag or local branch is taken for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from evalkit.ci.borrowed_objects import Repository
from evalkit.ci.systems import BaseRef
from evalkit.core.errors import InvalidInput

BASE_REF = "refs/evalkit/base"
"""The ref of the private git folder into which the base is fetched."""

_COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_ID = re.compile(r"[0-9a-f]{7,63}")
_ANCESTORS = re.compile(r"(.*?)((?:[~^]\d*)*)", re.DOTALL)
_SCP_ADDRESS = re.compile(r"(?:[^@/]*@)?([^:/]+):(?!/)(.*)")


class NamedCommit(NamedTuple):
    """A commit id, empty if the clone and its remotes have no such commit; and the name to show for it."""

    sha: str
    name: str


def resolve_base(repository: Repository, ref: BaseRef, say: Callable[[str], None]) -> NamedCommit:
    """Return the commit that `ref` names, from the remote if it is a branch that CI names.

    Raises:
        InvalidInput: several remotes could have that branch, or the name cannot name a commit.
    """
    if ref.is_branch:
        return _resolve_branch(repository, ref, say)
    name, ancestors = _split_ancestors(ref.name)
    if name.startswith("-") or not name.strip():
        raise InvalidInput.single(f"{ref.found_in} {ref.name!r} cannot name a commit.")
    sha = _find_locally(repository, name, prefers_remote=ref.prefers_remote)
    if not sha and (place := locate_remotely(repository, name)):
        remote, source = place
        sha = _fetch_tip(repository, remote, source, say)
    if ancestors and sha:
        sha = repository.resolve_commit(f"{sha}{ancestors}")
    return NamedCommit(sha, ref.name)


def _split_ancestors(name: str) -> tuple[str, str]:
    match = _ANCESTORS.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")


def _find_locally(repository: Repository, name: str, *, prefers_remote: bool) -> str:
    for sha in _list_candidates(repository, name, prefers_remote=prefers_remote):
        if found := repository.resolve_commit(sha):
            return found
    return ""


def _list_candidates(repository: Repository, name: str, *, prefers_remote: bool) -> Iterator[str]:
    """Yield the object ids that a name can mean; the first one that is a commit counts.

    An id comes before any ref of the same name, and a branch before a tag.
    """
    if name in ("HEAD", "@"):
        yield repository.head
    if _COMMIT_ID.fullmatch(name):
        yield name
        return
    if _SHORT_ID.fullmatch(name):
        found = repository.query("rev-parse", f"--disambiguate={name}").split()
        commits = [sha for sha in found if repository.query("cat-file", "-t", sha) == "commit"]
        yield from commits if len(commits) == 1 else ()
    if name.startswith("refs/"):
        folders: tuple[str, ...] = ("",)
    elif name.partition("/")[0] in repository.remotes:
        # A local branch could be called `origin/main`, but nobody means it.
        folders = ("refs/remotes/",)
    else:
        remote = f"refs/remotes/{_usual_remote(repository)}/"
        folders = ("refs/heads/", remote, "refs/tags/")
        if prefers_remote:
            folders = (remote, "refs/heads/", "refs/tags/")
    yield from (repository.refs[each + name] for each in folders if each + name in repository.refs)
    if name in repository.remotes and (head := repository.refs.get(f"refs/remotes/{name}/HEAD")):
        yield head


def locate_remotely(repository: Repository, name: str) -> tuple[str, str] | None:
    """Return the remote that could have a commit or branch, and what to fetch from it."""
    if not repository.remotes:
        return None
    name, _ = _split_ancestors(name)
    remote, _, branch = name.partition("/")
    usual = _usual_remote(repository)
    if _COMMIT_ID.fullmatch(name):
        return usual, name
    if name.startswith("refs/remotes/"):
        return locate_remotely(repository, name.removeprefix("refs/remotes/"))
    if name.startswith("refs/"):
        return usual, name
    if remote in repository.remotes:
        return remote, f"refs/heads/{branch}" if branch else "HEAD"
    return usual, f"refs/heads/{name}"


def _usual_remote(repository: Repository) -> str:
    remotes = repository.remotes
    return "origin" if "origin" in remotes or not remotes else next(iter(remotes))


def _fetch_tip(repository: Repository, remote: str, source: str, say: Callable[[str], None]) -> str:
    say(f"fetching {source.removeprefix('refs/heads/')} from {remote}")
    depth = ["--depth=1"] if repository.is_shallow else []
    if not repository.fetch(remote, [f"+{source}:{BASE_REF}"], *depth):
        return ""
    return repository.resolve_commit(BASE_REF)


def _resolve_branch(
    repository: Repository, ref: BaseRef, say: Callable[[str], None]
) -> NamedCommit:
    """Return the tip of a branch in the remote that has it, as that is today if it can be reached."""
    remote = choose_remote(repository, ref)
    branch = ref.name or _find_default_branch(repository, remote)
    if not branch:
        return NamedCommit("", f"{remote}/HEAD")
    known = repository.refs.get(f"refs/remotes/{remote}/{branch}", "")
    # In a clone that is kept between builds, the branch may have moved since the last fetch.
    depth = ["--depth=1"] if repository.is_shallow and not known else []
    say(f"fetching {branch} from {remote}")
    if repository.fetch(remote, [f"+refs/heads/{branch}:{BASE_REF}"], *depth):
        known = repository.resolve_commit(BASE_REF) or known
    return NamedCommit(repository.resolve_commit(known) if known else "", f"{remote}/{branch}")


def _find_default_branch(repository: Repository, remote: str) -> str:
    prefix = f"refs/remotes/{remote}/"
    target = repository.symbolic_refs.get(f"{prefix}HEAD", "")
    if target.startswith(prefix):
        return target.removeprefix(prefix)
    asked = repository.ask_remote(remote)
    match = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", asked, re.MULTILINE)
    return match[1] if match else ""


def choose_remote(repository: Repository, ref: BaseRef) -> str:
    """Return the remote whose branches a change targets, whatever it is called.

    Raises:
        InvalidInput: none is, or several could be.
    """
    remotes = repository.remotes
    wanted = ref.repository.lower()
    matching = [name for name, url in remotes.items() if wanted and _has_path(url, wanted)]
    if matching:
        return "origin" if "origin" in matching else matching[0]
    others = [name for name, url in remotes.items() if not (wanted and _is_other(url, wanted))]
    if "origin" in others or len(others) == 1:
        return "origin" if "origin" in others else others[0]
    listed = ", ".join(f"{name} ({_get_path(url)})" for name, url in sorted(remotes.items()))
    if remotes and not others:
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r} is a branch of {ref.repository}, but this clone has "
            f"other repositories only: {listed}. Add it: git remote add upstream URL. If one of "
            f"these is a mirror of it, name that: --base REMOTE/{ref.name}"
        )
    if remotes:
        raise InvalidInput.single(
            f"{ref.found_in} {ref.name!r}: several remotes could have this branch: {listed}. "
            f"Name one: --base REMOTE/{ref.name}"
        )
    return "origin"


def _get_path(url: str) -> str:
    """Return the path of a repository's address in lower case, such as `owner/name`."""
    match = _SCP_ADDRESS.fullmatch(url) if "://" not in url else None
    path = match[2] if match else urlsplit(url).path if "://" in url else url
    return path.strip("/").removesuffix(".git").lower()


def _has_path(url: str, wanted: str) -> bool:
    """Return whether an address ends in the name of a repository; a server may have a prefix before it."""
    return f"/{_get_path(url)}".endswith(f"/{wanted}")


def _is_other(url: str, wanted: str) -> bool:
    """Return whether an address on a server is that of another repository than `wanted`.

    A mirror may have any path, and so may a folder. A fork differs in the owner only.
    """
    if url.startswith((".", "/", "file:")) or "/" not in wanted or _has_path(url, wanted):
        return False
    owner, _, name = _get_path(url).rpartition("/")
    return bool(owner) and name == wanted.rpartition("/")[2]
