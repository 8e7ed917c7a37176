"""Post comments and statuses to GitHub, against a local server that answers as GitHub does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.commands.comment import build_status
from evalkit.core.errors import InvalidInput
from evalkit.core.location import Location
from evalkit.hosts.comments import (
    CommentDraft,
    CommitStatus,
    PostResult,
    post_comment,
    post_status,
)
from evalkit.hosts.github import (
    GitHubPullRequest,
    PullRequest,
    find_github_pull_request,
    read_github_event,
)
from evalkit.hosts.github_checks import CheckRun, post_check
from evalkit.hosts.rest_api import RestApi
from evalkit.report.annotations import Annotation
from tests.conftest import Project
from tests.support.report_samples import check_fail, make_verdict
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, raw, reply

MARK = "<!-- evalkit:0123456789abcdef -->"
DRAFT = CommentDraft(f"{MARK}\n## PASS", MARK)
SHA = "a" * 40


def made(number: int, body: str = "", *, kind: str = "Bot", who: str = "NONE") -> dict[str, Any]:
    return {
        "id": number,
        "body": body,
        "html_url": f"https://example.org/c/{number}",
        "user": {"type": kind},
        "author_association": who,
    }


def request_at(server: ScriptedServer, pull: PullRequest) -> GitHubPullRequest:
    token = "Bearer t0ken-of-the-job"
    api = RestApi(f"{server.url}/repos/o/r", token, {}, retry_delays_s=(0, 0))
    return GitHubPullRequest(api, pull)


def posted(
    *plays: Play, draft: CommentDraft = DRAFT, pull: PullRequest | None = None
) -> tuple[PostResult, list[Asked]]:
    async def talk() -> tuple[PostResult, list[Asked]]:
        async with ScriptedServer(plays=plays) as server:
            done = await post_comment(request_at(server, pull or PullRequest(number=7)), draft)
            return done, server.asked

    return asyncio.run(talk())


def test_the_first_comment_is_made() -> None:
    done, asked = posted(json_reply([made(1, "hello")]), json_reply(made(2), status=201))
    assert done == PostResult("created", "https://example.org/c/2")
    assert [(each.method, each.target) for each in asked] == [
        ("GET", "/repos/o/r/issues/7/comments?per_page=100&page=1"),
        ("POST", "/repos/o/r/issues/7/comments"),
    ]
    assert json.loads(asked[1].body) == {"body": DRAFT.text}
    assert asked[0].headers["authorization"] == "Bearer t0ken-of-the-job"


@pytest.mark.parametrize(("kind", "who"), [("Bot", "NONE"), ("User", "OWNER")])
def test_the_next_push_updates_it_on_whatever_page_it_is(kind: str, who: str) -> None:
    full = [made(number) for number in range(100)]
    ours = made(101, f"{MARK}\n## FAIL", kind=kind, who=who)
    done, asked = posted(json_reply(full), json_reply([ours]), json_reply(made(101)))
    assert done.outcome == "updated"
    assert (asked[2].method, asked[2].target) == ("PATCH", "/repos/o/r/issues/comments/101")


def test_a_mark_that_a_stranger_copied_or_quoted_is_not_taken_for_ours() -> None:
    copied = made(1, DRAFT.text, kind="User", who="CONTRIBUTOR")
    quoted = made(2, f"> {DRAFT.text}")
    done, _ = posted(json_reply([copied, quoted]), json_reply(made(3), status=201))
    assert done.outcome == "created"


def test_the_same_text_is_not_written_again() -> None:
    done, asked = posted(json_reply([made(1, DRAFT.text)]))
    assert (done.outcome, len(asked)) == ("unchanged", 1)


def test_where_nothing_changed_an_old_comment_is_updated_and_none_is_made() -> None:
    quiet = DRAFT._replace(only_updates=True)
    assert posted(json_reply([]), draft=quiet)[0].outcome == "skipped"
    old = json_reply([made(1, f"{MARK}\n## FAIL")])
    assert posted(old, json_reply(made(1)), draft=quiet)[0].outcome == "updated"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_token_that_may_not_is_told_what_to_add(status: int) -> None:
    said = {"message": "Resource not accessible by integration"}
    done, asked = posted(json_reply([]), json_reply(said, status=status))
    assert done.outcome == "refused"
    assert "Resource not accessible" in done.detail
    assert "permissions:\n    contents: read\n    pull-requests: write" in done.detail
    assert len(asked) == 2


def test_a_server_in_trouble_is_asked_again_but_not_for_ever() -> None:
    down = json_reply({}, status=502)
    done, _ = posted(down, down, json_reply([]), down, json_reply(made(2), status=201))
    assert done.outcome == "created"
    done, asked = posted(down)
    assert (done.outcome, len(asked)) == ("refused", 3)


def test_a_comment_whose_reply_was_lost_is_not_made_twice() -> None:
    done, asked = posted(json_reply([]), raw(b""))
    assert (done.outcome, [each.method for each in asked]) == ("refused", ["GET", "POST"])


def test_what_is_no_json_is_refused() -> None:
    assert posted(reply("<html>"))[0].outcome == "refused"


def test_the_pull_request_of_a_fork_is_found_by_branch_and_commit() -> None:
    pull = PullRequest(branch="fork:a b&state=all#+", sha=SHA)
    found = [{"number": 5, "head": {"sha": "b" * 40}}, {"number": 6, "head": {"sha": SHA}}]
    done, asked = posted(json_reply(found), json_reply([]), json_reply(made(1)), pull=pull)
    assert done.outcome == "created"
    assert asked[0].target == "/repos/o/r/pulls?state=open&head=fork:a%20b%26state%3Dall%23%2B"
    assert asked[2].target == "/repos/o/r/issues/6/comments"
    assert posted(json_reply(found[:1]), pull=pull)[0].outcome == "skipped"


def test_a_commit_is_told_what_its_run_came_to() -> None:
    async def talk() -> tuple[PostResult, list[Asked]]:
        async with ScriptedServer(plays=(json_reply({"url": "x"}, status=201),)) as server:
            status = CommitStatus("failure", "evalkit/support", "worse")
            done = await post_status(request_at(server, PullRequest(sha=SHA)), status)
            return done, server.asked

    done, asked = asyncio.run(talk())
    assert done.outcome == "created"
    assert asked[0].target == f"/repos/o/r/statuses/{SHA}"
    assert json.loads(asked[0].body)["state"] == "failure"


def test_a_status_is_a_success_only_with_exit_code_0() -> None:
    check = check_fail()
    for outcome, code, state in (
        ("pass", 0, "success"),
        ("inconclusive", 0, "success"),
        ("inconclusive", 3, "error"),
        ("fail", 1, "failure"),
        ("undecided", 4, "error"),
    ):
        verdict = make_verdict(outcome, code, "why\n" * 100, (check,))  # type: ignore[arg-type]
        status = build_status("s", verdict)
        assert (status.state, len(status.description) <= 140) == (state, True)


def event(folder: Path, content: Any) -> dict[str, str]:
    path = folder / "event.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {"GITHUB_EVENT_PATH": str(path)}


def test_the_event_names_the_pull_request(tmp_path: Path) -> None:
    request = {"pull_request": {"number": 7, "head": {"sha": SHA}}}
    assert read_github_event(event(tmp_path, request), None) == PullRequest(number=7, sha=SHA)
    assert read_github_event(event(tmp_path, request), 9) == PullRequest(number=9, sha=SHA)
    after = {
        "workflow_run": {
            "head_sha": SHA,
            "head_branch": "topic",
            "head_repository": {"owner": {"login": "fork"}},
        }
    }
    assert read_github_event(event(tmp_path, after), None) == PullRequest(
        branch="fork:topic", sha=SHA
    )
    others: tuple[Any, ...] = ({}, {"ref": "refs/heads/main"}, [], {"pull_request": None})
    for other in others:
        assert read_github_event(event(tmp_path, other), None) is None
    with pytest.raises(InvalidInput, match="not a GitHub event"):
        read_github_event(event(tmp_path, "{"), None)


def test_who_asks_and_where_comes_from_the_environment(tmp_path: Path) -> None:
    request = {"pull_request": {"number": 7, "head": {"sha": SHA}}}
    named = {"GITHUB_REPOSITORY": "o/r", "GITHUB_TOKEN": "t", **event(tmp_path, request)}
    elsewhere = {**named, "GITHUB_API_URL": "https://ghe.example/api/v3/"}
    for environ, address in (
        (named, "https://api.github.com/repos/o/r"),
        (elsewhere, "https://ghe.example/api/v3/repos/o/r"),
    ):
        found = find_github_pull_request(environ, None)
        assert found is not None
        assert (found.api.address, found.sha) == (address, SHA)
    for wrong in ({**named, "GITHUB_REPOSITORY": "o/r/../x"}, {"GITHUB_REPOSITORY": "o/r"}):
        with pytest.raises(InvalidInput):
            find_github_pull_request(wrong, None)


@pytest.mark.parametrize(
    ("state", "needs_approval", "conclusion"),
    [
        ("success", False, "success"),
        ("failure", False, "failure"),
        ("error", False, "failure"),
        ("error", True, "action_required"),
    ],
)
def test_a_check_run_has_all_annotations(state: Any, needs_approval: bool, conclusion: str) -> None:
    annotations = [
        Annotation("error", Location(path="a.yaml", line=n), f"case {n}", "was\nnow\x1b")
        for n in range(120)
    ]
    check = CheckRun(
        status=CommitStatus(state, "evalkit/support", "worse"),
        needs_approval=needs_approval,
        summary="é" * 70_000,
        annotations=annotations,
    )

    async def talk() -> tuple[PostResult, list[Asked]]:
        async with ScriptedServer(plays=(json_reply({"id": 5, "html_url": "u"}),)) as server:
            done = await post_check(request_at(server, PullRequest(sha=SHA)), check)
            return done, server.asked

    done, asked = asyncio.run(talk())
    assert done == PostResult("created", "u")
    assert [(each.method, each.target) for each in asked] == [
        ("POST", "/repos/o/r/check-runs"),
        ("PATCH", "/repos/o/r/check-runs/5"),
        ("PATCH", "/repos/o/r/check-runs/5"),
    ]
    first = asked[0].json
    assert (first["head_sha"], first["conclusion"]) == (SHA, conclusion)
    sent = [one for each in asked for one in each.json["output"]["annotations"]]
    assert [one["title"] for one in sent] == [f"case {n}" for n in range(120)]
    assert (sent[0]["start_line"], sent[3]["start_line"]) == (1, 3)
    assert "\x1b" not in sent[0]["message"]
    assert all(len(each.json["output"]["summary"].encode()) <= 65_535 for each in asked)


def test_the_command_posts_and_a_refusal_changes_no_exit_code(
    project: Project, tmp_path: Path
) -> None:
    assert project.evalkit("run", "echo.yaml").code == 0

    async def talk(*plays: Play) -> tuple[Any, list[Asked]]:
        async with ScriptedServer(plays=plays) as server:
            environ = {
                "GITHUB_API_URL": server.url,
                "GITHUB_REPOSITORY": "o/r",
                "GITHUB_TOKEN": "ghs_0123456789",
                **event(tmp_path, {"pull_request": {"number": 7, "head": {"sha": SHA}}}),
            }
            command = ("comment", "latest", "--post", "--status", "--check")
            done = await asyncio.to_thread(project.evalkit, *command, env=environ)
            return done, server.asked

    fine = json_reply(made(1), status=201)
    head = json_reply({"number": 7, "head": {"sha": SHA}})
    done, asked = asyncio.run(talk(fine, fine, head, json_reply([]), fine))
    assert done.code == 0, done.err
    assert "status success created" in done.err
    assert "check run success created" in done.err
    assert "comment created" in done.err
    assert asked[1].json["output"]["title"] == "The threshold holds."
    body = asked[4].json["body"]
    assert body.startswith("<!-- evalkit:")
    assert f"<!-- evalkit-state:decided commit:{SHA} -->" in body
    assert f"Commit `{SHA[:10]}`." in body
    moved = json_reply({"number": 7, "head": {"sha": "b" * 40}})
    done, asked = asyncio.run(talk(fine, fine, moved))
    assert "comment skipped: aaaaaaaaaa is no longer the newest commit" in done.err
    assert len(asked) == 3
    refused = json_reply({"message": "no"}, status=403)
    done, _ = asyncio.run(talk(refused))
    assert done.code == 0
    assert "statuses: write" in done.err
    assert "checks: write" in done.err
    assert "pull-requests: write" in done.err
