"""A server on loopback that keeps comments, labels, and statuses as GitHub's API does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, served

HEAD = "a" * 40


@dataclass
class GitHubServer:
    """The pull request 7 of o/r: its head, comments, label events, roles of people, and job ends."""

    head: str = HEAD
    comments: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    first_jobs: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, str]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    refused: bool = False
    url: str = ""

    def add_comment(self, body: str, *, kind: str = "Bot") -> None:
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"type": kind}})

    def label(self, name: str, who: str, when: str, *, event: str = "labeled") -> None:
        actor = {"login": who, "type": "Bot" if who.endswith("[bot]") else "User"}
        self.events.append(
            {"event": event, "label": {"name": name}, "actor": actor, "created_at": when}
        )

    def environ(self) -> dict[str, str]:
        """What the runner and the action set for a step of a job of the pull request."""
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_RUN_ID": "99",
            "GITHUB_WORKFLOW": "evalkit",
            "GITHUB_JOB": "evals",
            "EVALKIT_COMMENT_TOKEN": "ghs_0123456789abcdef",
            "EVALKIT_PULL": "7",
            "EVALKIT_HEAD": HEAD,
        }

    def _answer(self, asked: Asked) -> Play:
        if self.refused:
            return json_reply({"message": "Resource not accessible"}, status=403)
        path = asked.target.removeprefix("/repos/o/r/").partition("?")[0]
        pull = {"number": 7, "head": {"sha": self.head}}
        known: dict[str, Any] = {
            "pulls/7": pull,
            "pulls": [pull],
            "issues/7/events": self.events,
            "actions/runs/99/attempts/1/jobs": {"jobs": _cut_page(self.first_jobs, asked)},
        }
        if asked.method == "GET" and path == f"commits/{self.head}/statuses":
            return json_reply(self.statuses)
        if asked.method == "GET" and path in known:
            return json_reply(known[path])
        if match := re.fullmatch(r"collaborators/(.+)/permission", path):
            return json_reply({"role_name": self.roles.get(match[1], "read")})
        if path == "issues/7/comments" and asked.method == "GET":
            return json_reply([{"id": 0, "body": "", "user": None}, *self.comments])
        body = json.loads(asked.body)
        if path == "issues/7/comments":
            self.add_comment(body["body"])
            return json_reply(self.comments[-1], status=201)
        if match := re.fullmatch(r"issues/comments/(\d+)", path):
            self.comments[int(match[1]) - 1]["body"] = body["body"]
            return json_reply(self.comments[int(match[1]) - 1])
        if path == "check-runs":
            self.checks.append(body)
            return json_reply({"id": len(self.checks), "html_url": ""}, status=201)
        if path.startswith("statuses/"):
            self.statuses.append(body)
            return json_reply({}, status=201)
        return json_reply({"message": "Not Found"}, status=404)


def _cut_page(items: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
    """Return the page that a request asks for, of 100 items."""
    found = re.search(r"[?&]page=(\d+)", asked.target)
    page = int(found[1]) if found else 1
    return items[(page - 1) * 100 : page * 100]


@contextmanager
def github_served() -> Iterator[GitHubServer]:
    """Hold the server ready in a thread, for the action's scripts and evalkit as processes."""
    github = GitHubServer()
    with served(ScriptedServer(choose=github._answer)) as server:
        github.url = server.url
        yield github
