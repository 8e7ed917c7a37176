"""Whatever a change or an earlier step does to a checkout, the base is the same commit with the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evalkit.ci.base_files import Checkout, checkout
from evalkit.ci.systems import BaseRef, find_build
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.git import read_git
from tests.acceptance.test_repository import write_program
from tests.conftest import LEFT_OUT

FILES = {
    "set.yaml": b"gate: [{metric: exact_match, min: 0.9}]\ncases: [{id: a, input: x, expected: X}]\n",
    "sub folder/notes.txt": "caf\u00e9 $Id$\nsecond line\n".encode(),
    "data.bin": bytes(range(256)) * 8,
    "program.sh": b"#!/bin/sh\nexit 0\n",
}
PULL = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}


def plain_environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not LEFT_OUT.match(name)}
    return {**kept, **(extra or {})}


@dataclass
class Repo:
    """A clone of a hub in which a change is checked out, and what its build is given."""

    folder: Path
    environ: dict[str, str] = field(default_factory=lambda: plain_environ(PULL))

    @property
    def top(self) -> Path:
        return self.folder / "clone"

    @property
    def hub(self) -> Path:
        return self.folder / "hub.git"

    def git(self, *arguments: str, at: Path | None = None) -> str:
        identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=at or self.top,
            env=plain_environ(),
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()

    def sha(self, name: str) -> str:
        return self.git("rev-parse", name)

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.top / name.replace("_yaml", ".yaml")).write_text(text)
        self.git("add", "--all")
        self.git("commit", "-qm", "step")
        return self.sha("HEAD")

    def program(self, name: str = "evil") -> Path:
        """A program that must not run: it leaves a file behind."""
        write_program(self.folder / name, f"touch {self.ran}\ncat")
        return self.folder / name

    @property
    def ran(self) -> Path:
        return self.folder / "ran"

    def context(self) -> Context:
        return Context(
            cwd=self.top,
            environ=self.environ,
            now=lambda: datetime.now(UTC),
            token=lambda: "token",
            open_progress=lambda _: (_ for _ in ()),  # type: ignore[arg-type,return-value]
            say=lambda _: None,
        )

    @contextmanager
    def base(self, name: str | None = None) -> Iterator[Checkout]:
        build = find_build(self.environ)
        ref = build.base if build and not name else None
        named = BaseRef(name=name or "", found_in="--base", prefers_remote=build is not None)
        with checkout(ref or named, self.top / "set.yaml", self.context()) as found:
            yield found

    def read(self, name: str | None = None) -> tuple[str, dict[str, bytes]]:
        with self.base(name) as found:
            files = {
                path.relative_to(found.tree).as_posix(): path.read_bytes()
                for path in found.tree.rglob("*")
                if path.is_file() and ".evalkit" not in path.parts
            }
            return found.commit.sha, files


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A hub with `main`, and a clone in which a change with a looser gate is checked out."""
    made = Repo(tmp_path_factory.mktemp("template"))
    made.top.mkdir()
    made.git("init", "-q", "-b", "main")
    for name, content in FILES.items():
        path = made.top / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (made.top / "program.sh").chmod(0o755)
    made.commit()
    made.git("clone", "-q", "--bare", str(made.top), str(made.hub), at=made.folder)
    shutil.rmtree(made.top)
    made.git("clone", "-q", "../hub.git", str(made.top), at=made.hub)
    made.git("remote", "set-url", "origin", "../hub.git")
    made.git("checkout", "-q", "--detach")
    made.commit(set_yaml="gate: []\ncases: []\n")
    return made


@pytest.fixture
def repo(template: Repo, tmp_path: Path) -> Repo:
    shutil.copytree(template.folder, tmp_path / "work", symlinks=True)
    return Repo(tmp_path / "work")


def configure(repo: Repo, *pairs: tuple[str, str]) -> None:
    for key, value in pairs:
        repo.git("config", key, value)


def point(repo: Repo, ref: str) -> None:
    """Let a ref name the change."""
    repo.git("update-ref", ref, "HEAD")


def replace_objects(repo: Repo) -> None:
    whats = ("", "^{tree}", ":set.yaml")
    pairs = [(repo.sha(f"origin/main{what}"), repo.sha(f"HEAD{what}")) for what in whats]
    for old, new in pairs:
        repo.git("replace", old, new)


def graft(repo: Repo) -> None:
    """Let the change have no past, and the base be its child."""
    grafts = repo.top / ".git" / "info" / "grafts"
    grafts.write_text(f"{repo.sha('HEAD')}\n{repo.sha('origin/main')} {repo.sha('HEAD')}\n")


def forge_shallow(repo: Repo) -> None:
    (repo.top / ".git" / "shallow").write_text(f"{repo.sha('HEAD')}\n")


def filter_files(repo: Repo) -> None:
    attributes = (
        "* filter=evil diff=evil working-tree-encoding=UTF-16 ident eol=crlf export-ignore\n"
    )
    (repo.top / ".gitattributes").write_text(attributes)
    sha = repo.git("hash-object", "-w", "--no-filters", ".gitattributes")
    repo.git("update-index", "--add", "--cacheinfo", f"100644,{sha},.gitattributes")
    repo.git("commit", "-qm", "attributes")
    (repo.top / ".git" / "info" / "attributes").write_text(attributes)
    program = str(repo.program())
    configure(
        repo,
        ("filter.evil.smudge", program),
        ("filter.evil.process", program),
        ("filter.evil.required", "true"),
        ("diff.evil.textconv", program),
        ("core.attributesFile", str(repo.top / ".gitattributes")),
        ("core.autocrlf", "true"),
    )


def run_hooks(repo: Repo) -> None:
    program = repo.program()
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        write_program(repo.top / ".git" / "hooks" / hook, f"exec {program}")
    hooks = repo.top / ".git" / "hooks"
    configure(repo, ("core.hooksPath", str(hooks)), ("core.fsmonitor", str(program)))


def run_transport_programs(repo: Repo) -> None:
    program = str(repo.program())
    configure(
        repo,
        ("remote.origin.uploadpack", program),
        ("core.sshCommand", program),
        ("core.gitProxy", program),
        ("core.askPass", program),
        ("credential.helper", f"!{program}"),
        ("core.alternateRefsCommand", program),
        ("uploadpack.packObjectsHook", program),
        ("remote.origin.vcs", "evil"),
    )


def make_evil_hub(repo: Repo) -> Path:
    """A copy of the hub whose `main` is the change."""
    evil = repo.folder / "evil.git"
    shutil.copytree(repo.hub, evil)
    repo.git("push", "-q", "-f", str(evil), "HEAD:refs/heads/main")
    return evil


def redirect(repo: Repo) -> None:
    evil = make_evil_hub(repo)
    configure(repo, (f"url.{evil}.insteadOf", "../hub.git"))
    included = repo.folder / "included"
    included.write_text(f'[url "{evil}"]\n\tinsteadOf = ../\n')
    configure(repo, ("include.path", str(included)))


def redirect_by_environment(repo: Repo) -> None:
    evil = make_evil_hub(repo)
    repo.environ |= {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{evil}.insteadOf",
        "GIT_CONFIG_VALUE_0": "../hub.git",
        "GIT_CONFIG_PARAMETERS": f"'url.{evil}.insteadOf'='../hub.git'",
    }


def redirect_by_a_file_of_the_checkout(repo: Repo) -> None:
    evil = make_evil_hub(repo)
    (repo.top / "gitconfig").write_text(f'[url "{evil}"]\n\tinsteadOf = ../hub.git\n')
    repo.environ["GIT_CONFIG_GLOBAL"] = str(repo.top / "gitconfig")


def name_other_folders(repo: Repo) -> None:
    """Point every variable of git at a repository in which `main` is the change."""
    evil = make_evil_hub(repo)
    program = str(repo.program())
    repo.environ |= {
        "GIT_DIR": str(evil),
        "GIT_COMMON_DIR": str(evil),
        "GIT_WORK_TREE": str(repo.folder),
        "GIT_INDEX_FILE": str(repo.folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(evil / "objects"),
        "GIT_NAMESPACE": "evil",
        "GIT_REPLACE_REF_BASE": "refs/heads",
        "GIT_GRAFT_FILE": str(repo.folder / "grafts"),
        "GIT_SHALLOW_FILE": str(repo.folder / "shallow"),
        "GIT_EXTERNAL_DIFF": program,
        "GIT_EXEC_PATH": str(repo.folder),
        "GIT_PAGER": program,
        "GIT_TRACE": str(repo.ran),
        "GIT_CEILING_DIRECTORIES": str(repo.top.parent),
        "GIT_TEMPLATE_DIR": str(repo.folder),
    }


def bring_git(repo: Repo, entry: str) -> None:
    write_program(repo.top / "bin" / "git", f"touch {repo.ran}\nexit 0")
    repo.environ["PATH"] = f"{entry.format(top=repo.top)}:{repo.environ['PATH']}"


def bring_git_at_the_top(repo: Repo) -> None:
    bring_git(repo, "")
    shutil.copy(repo.top / "bin" / "git", repo.top / "git")


def link_git(repo: Repo) -> None:
    """A folder outside of the checkout, whose git is a link into it."""
    bring_git(repo, "{top}/../links")
    (repo.folder / "links").mkdir()
    (repo.folder / "links" / "git").symlink_to(repo.top / "bin" / "git")


def forge_commit_graph(repo: Repo) -> None:
    repo.git("replace", "--graft", "HEAD")
    info = repo.top / ".git" / "objects" / "info"
    repo.git("commit-graph", "write", "--reachable")
    assert (info / "commit-graph").exists() or (info / "commit-graphs").exists()


ATTACKS: dict[str, Callable[[Repo], object]] = {
    "nothing": lambda _: None,
    "a tag origin/main": lambda r: point(r, "refs/tags/origin/main"),
    "a tag main": lambda r: point(r, "refs/tags/main"),
    "a branch origin/main": lambda r: point(r, "refs/heads/origin/main"),
    "a branch main": lambda r: point(r, "refs/heads/main"),
    "a branch named like the full ref": lambda r: point(r, "refs/heads/refs/remotes/origin/main"),
    "a tag named like the full ref": lambda r: point(r, "refs/tags/refs/remotes/origin/main"),
    "a ref origin/main at the top": lambda r: point(r, "refs/origin/main"),
    "a branch HEAD": lambda r: point(r, "refs/heads/HEAD"),
    "the remote-tracking branch moved": lambda r: point(r, "refs/remotes/origin/main"),
    "our own private refs": lambda r: point(r, "refs/evalkit/base"),
    "replacement refs": replace_objects,
    "grafts": graft,
    "a forged shallow file": forge_shallow,
    "a forged commit graph": forge_commit_graph,
    "filters and attributes": filter_files,
    "hooks and fsmonitor": run_hooks,
    "programs for fetching": run_transport_programs,
    "a program as the remote": lambda r: configure(
        r, ("remote.origin.url", f"ext::{r.program()} %S"), ("protocol.ext.allow", "always")
    ),
    "another working tree": lambda r: configure(r, ("core.worktree", str(r.folder))),
    "a bare checkout": lambda r: configure(r, ("core.bare", "true")),
    "aliases": lambda r: configure(
        r, *((f"alias.{word}", f"!touch {r.ran}") for word in ("rev-parse", "cat-file", "fetch"))
    ),
    "a redirected remote": redirect,
    "a redirected remote in the environment": redirect_by_environment,
    "a global configuration in the checkout": redirect_by_a_file_of_the_checkout,
    "variables of git": name_other_folders,
    "git in the checkout": lambda r: bring_git(r, "{top}/bin"),
    "git in a relative folder": lambda r: bring_git(r, "bin"),
    "git in a link to the checkout": link_git,
    "a remote with another name": lambda r: r.git("remote", "rename", "origin", "upstream"),
    "an empty folder in PATH": bring_git_at_the_top,
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_the_base_is_the_same_whatever_is_done_to_the_checkout(
    repo: Repo, attack: Callable[[Repo], object]
) -> None:
    base = repo.sha("origin/main")
    attack(repo)
    sha, files = repo.read()
    assert sha == base
    assert files == FILES
    assert not repo.ran.exists()


def test_nothing_of_the_checkout_changes_by_looking_at_the_base(repo: Repo) -> None:
    def listed() -> dict[str, int]:
        paths = sorted(repo.top.rglob("*"))
        return {str(path): path.stat().st_mtime_ns for path in paths if path.is_file()}

    before = listed()
    with repo.base() as found:
        assert os.access(found.tree / "program.sh", os.X_OK)
        assert not os.access(found.tree / "set.yaml", os.X_OK)
    assert listed() == before


@pytest.mark.parametrize("what", ["origin/main", "origin/main^{tree}", "origin/main:set.yaml"])
def test_an_object_that_was_overwritten_is_noticed(repo: Repo, what: str) -> None:
    """Git itself believes what is in its object folder."""
    sha, other = repo.sha(what), repo.sha(what.replace("origin/main", "HEAD"))
    objects = repo.top / ".git" / "objects"
    for pack in (objects / "pack").glob("*"):
        pack.chmod(0o600)
    packs = [pack.rename(repo.folder / pack.name) for pack in (objects / "pack").glob("*")]
    for pack in packs:
        if pack.suffix == ".pack":
            subprocess.run(
                ["git", "unpack-objects", "-q"], stdin=pack.open("rb"), cwd=repo.top, check=True
            )
    target, source = (objects / each[:2] / each[2:] for each in (sha, other))
    target.unlink()
    shutil.copy(source, target)
    repo.git("remote", "remove", "origin")
    point_back = repo.sha("HEAD~1") if what != "origin/main" else sha
    with pytest.raises((StoreError, InvalidInput), match=r"does not match|there is no such commit"):
        repo.read(point_back)


NAMES: dict[str, str] = {
    "origin/main": "origin/main",
    "main": "main",
    "the full ref": "refs/remotes/origin/main",
    "an ancestor": "HEAD~1",
    "a parent": "HEAD^",
    "the remote": "origin",
    "the commit": "{base}",
    "the start of the commit": "{short}",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_name_on_the_command_line_is_no_tag_or_local_branch_either(repo: Repo, name: str) -> None:
    base = repo.sha("origin/main")
    name = name.format(base=base, short=base[:8])
    for folder in ("tags", "heads"):
        for each in ("origin/main", base, base[:8], "HEAD", "origin/HEAD"):
            point(repo, f"refs/{folder}/{each}")
    point(repo, "refs/tags/main")
    assert repo.read(name)[0] == base


def test_a_tag_is_a_base_if_nothing_else_has_its_name(repo: Repo) -> None:
    base = repo.sha("origin/main")
    repo.git("tag", "-a", "-m", "one", "v1", "origin/main")
    assert repo.read("v1")[0] == base
    # Outside of CI, people mean their own branch.
    repo.environ = plain_environ()
    repo.git("checkout", "-q", "-b", "topic")
    repo.commit(set_yaml="cases: []\n")
    assert repo.read("topic~1")[0] == repo.sha("HEAD~1")
    for name in ("nowhere", "-x", " ", "0" * 40, "origin/nowhere", "HEAD~9"):
        with pytest.raises(InvalidInput):
            repo.read(name)


@pytest.mark.parametrize("kind", ["criss-cross", "an unfinished branch that was merged"])
def test_only_a_commit_of_the_mainline_is_a_base(repo: Repo, kind: str) -> None:
    """A commit that was merged together with later ones was never gated by itself."""
    repo.git("checkout", "-q", "-B", "main", "origin/main")
    base = repo.sha("HEAD")
    repo.git("checkout", "-q", "-b", "topic")
    loose = repo.commit(set_yaml="gate: []\ncases: []\n")
    repo.git("checkout", "-q", "main")
    if kind == "criss-cross":
        base = repo.commit(notes="main goes on")
        repo.git("merge", "-q", "--no-ff", "-s", "ours", "-m", "merge", loose)
        repo.git("checkout", "-q", "topic")
        repo.git("merge", "-q", "-s", "ours", "-m", "cross", base)
        bases = repo.git("merge-base", "--all", "main", "topic").split()
        assert len(bases) == 2
    else:
        repo.git("checkout", "-q", "topic")
        repo.git("checkout", "-q", base, "--", "set.yaml")
        repo.git("commit", "-qm", "strict again")
        repo.git("checkout", "-q", "main")
        repo.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
        repo.git("checkout", "-q", "--detach", loose)
        repo.commit(agent="worse")
    repo.git("push", "-q", "origin", "main")
    sha, files = repo.read()
    assert sha == base
    assert files["set.yaml"] == FILES["set.yaml"]


def test_of_several_remotes_that_of_the_target_counts(repo: Repo) -> None:
    base = repo.sha("origin/main")
    evil = make_evil_hub(repo)
    repo.git("remote", "add", "fork", str(evil))
    assert repo.read()[0] == base
    # Without an origin, only the name of the repository can decide.
    repo.git("remote", "rename", "origin", "upstream")
    with pytest.raises(InvalidInput, match="several remotes could have this branch: fork"):
        repo.read()
    assert repo.read("upstream/main")[0] == base
    repo.environ["GITHUB_REPOSITORY"] = str(repo.hub).strip("/").removesuffix(".git")
    repo.git("remote", "set-url", "upstream", str(repo.hub))
    assert repo.read()[0] == base


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/mallory/agent.git",
        "git@git.example.org:mallory/agent.git",
        "ssh://git@git.example.org/mallory/agent",
    ],
)
def test_the_main_branch_of_a_fork_is_no_base(repo: Repo, url: str) -> None:
    base = repo.sha("origin/main")
    repo.environ["GITHUB_REPOSITORY"] = "Team/Agent"
    repo.git("remote", "set-url", "origin", url)
    with pytest.raises(InvalidInput, match=r"origin \(mallory/agent\). Add it: git remote add"):
        repo.read()
    repo.git("remote", "add", "upstream", str(repo.hub))
    repo.git("fetch", "-q", "upstream")
    assert repo.read()[0] == base
    # A mirror can have any address; people may name it.
    assert repo.read("origin/main")[0] == base


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("team/agent", "https://git.example.org/prefix/Team/Agent.git"),
        ("agent", "https://dev.example.org/org/project/_git/agent"),
        ("team/agent", "https://mirror.example.org/agent"),
        ("team/agent", "ssh://git@mirror.example.org:2222/cache/team-agent"),
    ],
)
def test_an_address_that_may_be_that_of_the_target_is_not_taken_for_a_fork(
    repo: Repo, name: str, url: str
) -> None:
    base = repo.sha("origin/main")
    repo.environ["GITHUB_REPOSITORY"] = name
    repo.git("config", "remote.origin.url", url)
    # A server that refuses at once.
    repo.environ |= dict.fromkeys(("https_proxy", "all_proxy"), "http://127.0.0.1:9")
    repo.environ["GIT_SSH_COMMAND"] = "false"
    assert repo.read()[0] == base


def test_a_change_without_a_named_target_is_based_on_the_default_branch(repo: Repo) -> None:
    base = repo.sha("origin/main")
    repo.environ = plain_environ({"CIRCLECI": "true", "CIRCLE_PULL_REQUEST": "https://x/pull/7"})
    point(repo, "refs/tags/origin/HEAD")
    assert repo.read()[0] == base
    # Some systems fetch without the ref that names it.
    repo.git("remote", "set-head", "origin", "--delete")
    assert repo.read()[0] == base


def clone(repo: Repo, *options: str) -> None:
    change = repo.sha("HEAD")
    repo.git("push", "-q", "origin", f"{change}:refs/heads/change")
    shutil.rmtree(repo.top)
    url = f"file://{repo.hub}"
    for allowed in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        repo.git("config", allowed, "true", at=repo.hub)
    repo.git("clone", "-q", *options, url, str(repo.top), at=repo.folder)


@pytest.mark.parametrize("kept", ["blob:none", "tree:0"])
def test_a_partial_clone_gets_what_it_left_out(repo: Repo, kept: str) -> None:
    base = repo.sha("origin/main")
    clone(repo, f"--filter={kept}", "--branch=change", "--no-checkout")
    assert repo.read() == (base, FILES)


def test_a_shallow_clone_whose_shallow_file_was_forged_has_the_same_base(repo: Repo) -> None:
    base = repo.sha("origin/main")
    for number in range(3):
        repo.commit(notes=f"{number}")
    clone(repo, "--depth=1", "--branch=change")
    shallow = repo.top / ".git" / "shallow"
    assert repo.read() == (base, FILES)
    shallow.write_text(shallow.read_text() + f"{base}\n{'0' * 40}\nnonsense\n")
    assert repo.read() == (base, FILES)
    # A base by its commit, as the action passes it, is fetched, too.
    assert repo.read(base) == (base, FILES)


def test_a_linked_worktree_has_the_refs_and_objects_of_its_repository(repo: Repo) -> None:
    base = repo.sha("origin/main")
    repo.git("worktree", "add", "-q", "--detach", "../linked")
    repo.git("remote", "set-url", "origin", str(repo.hub))
    linked = Repo(repo.folder)
    with checkout(
        BaseRef(name="main", found_in="X", is_branch=True),
        repo.folder / "linked" / "set.yaml",
        linked.context(),
    ) as found:
        assert (found.commit.sha, found.repository.top) == (base, repo.folder / "linked")
        place = found.locate(repo.folder / "linked" / "set.yaml")
        assert place.read_bytes() == FILES["set.yaml"]


def test_a_repository_of_sha256_has_a_base(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.top.mkdir()
    repo.git("init", "-q", "-b", "main", "--object-format=sha256")
    base = repo.commit(set_yaml="one\n")
    repo.commit(set_yaml="two\n")
    assert repo.read(base) == (base, {"set.yaml": b"one\n"})
    assert repo.read("HEAD~1")[0] == base


def test_a_pointer_of_git_lfs_is_read_from_a_file_with_its_digest_only(repo: Repo) -> None:
    content = b"input,expected\nx,X\n"
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    repo.commit(cases=pointer)
    repo.commit(notes="later")
    assert repo.read("HEAD~1")[1]["cases"] == pointer.encode()
    (repo.top / "cases").write_bytes(content.replace(b"X", b"Y"))
    assert repo.read("HEAD~1")[1]["cases"] == pointer.encode()
    (repo.top / "cases").write_bytes(content)
    assert repo.read("HEAD~1")[1]["cases"] == content
    (repo.top / "cases").unlink()
    stored = repo.top / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    stored.parent.mkdir(parents=True)
    stored.write_bytes(content)
    assert repo.read("HEAD~1")[1]["cases"] == content


def test_links_are_written_as_links_and_submodules_are_listed(repo: Repo) -> None:
    (repo.top / "link.yaml").symlink_to("set.yaml")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{repo.sha('HEAD')},vendor/lib")
    repo.git("add", "link.yaml")
    repo.git("commit", "-qm", "links")
    with repo.base("HEAD") as found:
        assert (found.tree / "link.yaml").readlink() == Path("set.yaml")
        assert found.list_submodules() == "vendor/lib"
        assert found.commit.is_head


def test_no_git_anywhere_is_said(repo: Repo) -> None:
    repo.environ["PATH"] = str(repo.top)
    with pytest.raises(InvalidInput, match="git is not installed"):
        repo.read()
    assert read_git(repo.top, repo.environ, "rev-parse", "HEAD") == b""
