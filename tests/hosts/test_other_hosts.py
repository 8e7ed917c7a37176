"""Post to GitLab, Azure DevOps, and Bitbucket, against local servers that keep what was posted."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conftest import Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, reply, served

SHA = "a" * 40
OTHERS = 101
"""Comments of other people that come first, more than one page of them."""


@dataclass
class Forge:
    """A host with one open request. Its comments are `[id, author, text]`."""

    authorized: Callable[[Mapping[str, str]], bool] = lambda _: True
    comments: list[list[Any]] = field(
        default_factory=lambda: [[n, "somebody", f"comment {n}"] for n in range(1, OTHERS + 1)]
    )
    statuses: list[Any] = field(default_factory=list)
    threads: list[Any] = field(default_factory=list)
    writes: int = 0

    def own(self) -> list[str]:
        return [text for _, author, text in self.comments if author == "evalkit"]

    def write(self, text: str, number: int | None = None) -> int:
        self.writes += 1
        if number is None:
            self.comments.append([len(self.comments) + 1, "evalkit", text])
            return len(self.comments)
        [found] = [each for each in self.comments if each[0] == number]
        assert found[1] == "evalkit"
        found[2] = text
        return number

    def page(self, asked: Asked, size_name: str) -> tuple[list[list[Any]], bool]:
        """The comments of the page that a request names, and whether there are more."""
        query = parse_qs(urlsplit(asked.target).query)
        size, page = int(query[size_name][0]), int(query["page"][0])
        return self.comments[(page - 1) * size : page * size], page * size < len(self.comments)


def gitlab(forge: Forge, asked: Asked) -> Play:
    """docs.gitlab.com: Notes API, Commits API."""
    path = urlsplit(asked.target).path
    notes = "/api/v4/projects/17/merge_requests/5/notes"

    def show(number: int, author: str, text: str) -> dict[str, Any]:
        return {"id": number, "author": {"id": 1 if author == "evalkit" else 2}, "body": text}

    if asked.headers.get("authorization") != "Bearer glpat-0123456789abcdef":
        return json_reply({"message": "401 Unauthorized"}, status=401)
    if (asked.method, path) == ("GET", "/api/v4/user"):
        return json_reply({"id": 1, "username": "project_17_bot"})
    if (asked.method, path) == ("GET", notes):
        return json_reply([show(*each) for each in forge.page(asked, "per_page")[0]])
    if (asked.method, path) == ("POST", notes):
        return json_reply({"id": forge.write(asked.json["body"])}, status=201)
    if asked.method == "PUT" and (found := re.fullmatch(rf"{notes}/(\d+)", path)):
        return json_reply({"id": forge.write(asked.json["body"], int(found[1]))})
    if (asked.method, path) == ("POST", f"/api/v4/projects/17/statuses/{SHA}"):
        forge.statuses.append((asked.json["state"], asked.json["name"]))
        return json_reply({"target_url": None}, status=201)
    return json_reply({"message": "404 Not Found"}, status=404)


def azure(forge: Forge, asked: Asked) -> Play:
    """learn.microsoft.com: Pull Request Threads, Thread Comments, Statuses 7.1."""
    path, pull = (
        urlsplit(asked.target).path,
        "/org/The%20Shop/_apis/git/repositories/r-1/pullRequests/5",
    )
    basic = base64.b64encode(b":pat-0123456789").decode()
    if asked.headers.get("authorization") not in ("Bearer eyJ0.e30.x", f"Basic {basic}"):
        return reply("<html>Sign in</html>", status=203, kind="text/html")
    assert "api-version=7.1" in asked.target

    def show(number: int, author: str, text: str) -> dict[str, Any]:
        comment = {"id": 1, "content": text, "author": {"id": author}, "commentType": "text"}
        return {"id": number, "comments": [comment], "status": "active"}

    if (asked.method, path) == ("GET", "/org/_apis/connectionData"):
        return json_reply({"authenticatedUser": {"id": "evalkit"}})
    if (asked.method, path) == ("GET", f"{pull}/threads"):
        shown = [show(*each) for each in forge.comments]
        return json_reply({"value": shown, "count": len(shown)})
    if (asked.method, path) == ("POST", f"{pull}/threads"):
        forge.threads.append(asked.json["status"])
        return json_reply({"id": forge.write(asked.json["comments"][0]["content"])})
    if found := re.fullmatch(rf"{pull}/threads/(\d+)/comments/1", path):
        return json_reply({"id": forge.write(asked.json["content"], int(found[1]))})
    if re.fullmatch(rf"{pull}/threads/\d+", path):
        forge.threads.append(asked.json["status"])
        return json_reply({})
    if (asked.method, path) == ("POST", f"{pull}/statuses"):
        forge.statuses.append((asked.json["state"], "/".join(asked.json["context"].values())))
        return json_reply({"id": 1})
    return json_reply({"message": "TF401019: not found"}, status=404)


def bitbucket(forge: Forge, asked: Asked) -> Play:
    """developer.atlassian.com: Pullrequests, Commit statuses 2.0."""
    path = urlsplit(asked.target).path
    comments = "/2.0/repositories/team/shop/pullrequests/5/comments"
    if asked.headers.get("authorization") != "Bearer ATCTT-0123456789":
        return json_reply({"type": "error", "error": {"message": "Token is invalid"}}, status=401)
    if (asked.method, path) == ("GET", comments):
        found, more = forge.page(asked, "pagelen")
        values = [{"id": n, "content": {"raw": text}, "deleted": False} for n, _, text in found]
        return json_reply({"values": values, **({"next": "https://x"} if more else {})})
    if asked.method in ("POST", "PUT") and path.startswith(comments):
        text = asked.json["content"]["raw"]
        assert len(text) <= 32_768
        number = int(path.rpartition("/")[2]) if asked.method == "PUT" else None
        return json_reply({"id": forge.write(text, number)}, status=200 if number else 201)
    if path == f"/2.0/repositories/team/shop/commit/{SHA}/statuses/build":
        assert asked.json["url"].startswith("https://")
        forge.statuses.append((asked.json["state"], asked.json["key"]))
        return json_reply({}, status=201)
    return json_reply({"type": "error", "error": {"message": "not found"}}, status=404)


def gitlab_environ(url: str) -> dict[str, str]:
    return {
        "GITLAB_CI": "true",
        "CI_API_V4_URL": f"{url}/api/v4",
        "CI_PROJECT_ID": "99",
        "CI_MERGE_REQUEST_PROJECT_ID": "17",
        "CI_MERGE_REQUEST_PROJECT_URL": "https://gitlab.example/g/shop",
        "CI_MERGE_REQUEST_IID": "5",
        "CI_COMMIT_SHA": SHA,
        "CI_JOB_URL": "https://gitlab.example/g/shop/-/jobs/8",
        "GITLAB_TOKEN": "glpat-0123456789abcdef",
    }


def azure_environ(url: str) -> dict[str, str]:
    return {
        "TF_BUILD": "True",
        "BUILD_REPOSITORY_PROVIDER": "TfsGit",
        "SYSTEM_COLLECTIONURI": f"{url}/org/",
        "SYSTEM_TEAMPROJECT": "The Shop",
        "SYSTEM_TEAMPROJECTID": "p-1",
        "BUILD_REPOSITORY_ID": "r-1",
        "BUILD_BUILDID": "77",
        "SYSTEM_PULLREQUEST_PULLREQUESTID": "5",
        "SYSTEM_PULLREQUEST_SOURCECOMMITID": SHA,
        "SYSTEM_ACCESSTOKEN": "eyJ0.e30.x",
    }


def bitbucket_environ(url: str) -> dict[str, str]:
    return {
        "BITBUCKET_BUILD_NUMBER": "12",
        "BITBUCKET_API_URL": f"{url}/2.0",
        "BITBUCKET_WORKSPACE": "team",
        "BITBUCKET_REPO_SLUG": "shop",
        "BITBUCKET_GIT_HTTP_ORIGIN": "https://bitbucket.org/team/shop",
        "BITBUCKET_PR_ID": "5",
        "BITBUCKET_COMMIT": SHA,
        "BITBUCKET_ACCESS_TOKEN": "ATCTT-0123456789",
    }


Host = tuple[Callable[[Forge, Asked], Play], Callable[[str], dict[str, str]], str, tuple[str, str]]
HOSTS: dict[str, Host] = {
    "gitlab": (gitlab, gitlab_environ, "GITLAB_TOKEN", ("success", "failed")),
    "azure": (azure, azure_environ, "SYSTEM_ACCESSTOKEN", ("succeeded", "failed")),
    "bitbucket": (bitbucket, bitbucket_environ, "BITBUCKET_ACCESS_TOKEN", ("SUCCESSFUL", "FAILED")),
}
each_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)


@contextmanager
def hosted(host: Host, forge: Forge) -> Iterator[dict[str, str]]:
    """Serve a host, and yield the environment of a build there."""
    answer, environ, _, _ = host
    with served(ScriptedServer(choose=lambda asked: answer(forge, asked))) as server:
        yield environ(server.url)


@each_host
def test_one_comment_follows_the_verdict_from_push_to_push(project: Project, host: Host) -> None:
    forge = Forge()
    post = ("comment", "--set", "echo.yaml", "--post", "--only-changes", "--status")
    assert project.evalkit("run", "echo.yaml").code == 0
    with hosted(host, forge) as environ:
        # A build of no pull request that the gate could compare with gets the warning, thus a comment.
        done = project.evalkit(*post, env=environ)
        assert done.code == 0, done.err
        assert "comment created: http" in done.err, done.err
        [first] = forge.own()
        assert "PASS: `echo`" in first
        assert project.evalkit(*post, env=environ).err.count("comment unchanged") == 1
        assert forge.writes == 1

        echo = project.folder / "echo.yaml"
        echo.write_text(echo.read_text().replace("expected: TWO", "expected: two"))
        assert project.evalkit("run", "echo.yaml").code == 1
        done = project.evalkit(*post, env=environ)
        assert "comment updated: http" in done.err
        [second] = forge.own()
        assert "FAIL: `echo`" in second
        assert second.split("\n", 1)[0] == first.split("\n", 1)[0]
        # Nothing could run: neither earlier result stays.
        (project.folder / ".evalkit" / "runs").rename(project.folder / "elsewhere")
        done = project.evalkit(*post, env=environ)
        assert "comment updated: http" in done.err, done.err
        [third] = forge.own()
        assert "## NOT DECIDED" in third
        assert "FAIL" not in third
        assert third.split("\n", 1)[0] == first.split("\n", 1)[0]
        assert SHA[:10] in third
        assert len(forge.comments) == OTHERS + 1
    good, bad = host[3]
    assert {name for _, name in forge.statuses} == {"evalkit/echo.yaml"}
    assert [state for state, _ in forge.statuses[:3]] == [good, good, bad]
    assert forge.statuses[3][0] not in (good, "")
    assert forge.threads in ([], ["closed", "active", "active"])
    assert ("<details>" in second) == (host[0] is not bitbucket)
    assert ("<" in second.replace("`", "").replace("->", "")) == (host[0] is not bitbucket)


@each_host
def test_a_token_that_is_missing_or_wrong_gets_a_remedy(project: Project, host: Host) -> None:
    _, _, token, _ = host
    assert project.evalkit("run", "echo.yaml").code == 0
    with hosted(host, Forge()) as environ:
        missing = {name: value for name, value in environ.items() if name != token}
        done = project.evalkit("comment", "latest", "--post", env=missing)
        assert (done.code, done.err.count(f"{token} is not set")) == (2, 1)
        done = project.evalkit("comment", "latest", "--post", env={**environ, token: "wrong-token"})
        assert done.code == 0
        assert "comment refused" in done.err
        assert re.search("GITLAB_TOKEN must|build service|BITBUCKET_ACCESS_TOKEN must", done.err)
        assert "wrong-token" not in done.err
        refused = project.evalkit("comment", "latest", "--post", "--check", env=environ)
        assert (refused.code, "has no check runs" in refused.err) == (2, True)


@each_host
def test_a_build_of_a_branch_has_nothing_to_comment_on(project: Project, host: Host) -> None:
    assert project.evalkit("run", "echo.yaml").code == 0
    numbers = ("CI_MERGE_REQUEST_IID", "SYSTEM_PULLREQUEST_PULLREQUESTID", "BITBUCKET_PR_ID")
    forge = Forge()
    with hosted(host, forge) as environ:
        plain = {name: value for name, value in environ.items() if name not in numbers}
        done = project.evalkit("comment", "latest", "--post", env=plain)
        assert (done.code, forge.writes) == (0, 0)
        assert re.search("this build has no (pull|merge) request. Add --pull-request N", done.err)
        done = project.evalkit("comment", "latest", "--post", "--pull-request", "5", env=plain)
        assert "comment created" in done.err


def test_gitlab_finds_the_only_open_request_of_a_branch(project: Project) -> None:
    assert project.evalkit("run", "echo.yaml").code == 0
    for open_requests, writes in (("g/shop!5", 1), ("g/shop!5,g/shop!6", 0)):
        forge = Forge()
        with hosted(HOSTS["gitlab"], forge) as environ:
            del environ["CI_MERGE_REQUEST_IID"]
            of_branch = {**environ, "CI_OPEN_MERGE_REQUESTS": open_requests}
            assert project.evalkit("comment", "latest", "--post", env=of_branch).code == 0
        assert forge.writes == writes


def test_a_comment_of_somebody_else_with_the_marker_is_left_alone(project: Project) -> None:
    assert project.evalkit("run", "echo.yaml").code == 0
    for name in ("gitlab", "azure"):
        forge = Forge()
        with hosted(HOSTS[name], forge) as environ:
            printed = project.evalkit("comment", "latest", env=environ).out
            forge.comments.append([OTHERS + 1, "somebody", f"{printed.splitlines()[0]}\nPASS"])
            done = project.evalkit("comment", "latest", "--post", env=environ)
            assert "comment created" in done.err
        assert forge.comments[OTHERS][2].endswith("\nPASS")


def test_azure_takes_a_personal_token(project: Project) -> None:
    assert project.evalkit("run", "echo.yaml").code == 0
    forge = Forge()
    with hosted(HOSTS["azure"], forge) as environ:
        del environ["SYSTEM_ACCESSTOKEN"]
        personal = {**environ, "AZURE_DEVOPS_EXT_PAT": "pat-0123456789"}
        assert "comment created" in project.evalkit("comment", "latest", "--post", env=personal).err
    assert len(forge.own()) == 1


@each_host
def test_a_token_is_sent_to_no_other_host(project: Project, host: Host) -> None:
    _, environ_at, token, _ = host
    assert project.evalkit("run", "echo.yaml").code == 0
    with served(ScriptedServer(choose=lambda _: json_reply({}))) as there:
        moved = reply(status=302, headers={"Location": f"{there.url}/x"})
        with served(ScriptedServer(choose=lambda _: moved)) as here:
            environ = environ_at(here.url)
            project.evalkit("comment", "latest", "--post", env=environ)
    assert here.asked
    assert there.asked
    sent = [value for asked in there.asked for value in asked.headers.values()]
    assert not [value for value in sent if environ[token] in value]
