"""`evalkit view`: pages of the store for one browser on this computer, live while a run is under way."""

from __future__ import annotations

import contextlib
import os
import posixpath
import pty
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psutil
import pytest

from tests.conftest import ECHO_AGENT, Done, Project
from tests.support.browser import check_page, open_page
from tests.support.viewing import View, open_view

WAITING_AGENT = """
    import pathlib, time

    def answer(text):
        while not pathlib.Path("go-" + text).exists():
            time.sleep(0.02)
        return text.upper() if text != "q1" else "wrong"
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two sets, one of which fails at its newest run, and cases with odd names."""
    project = Project(tmp_path_factory.mktemp("view"))
    project.write("agent.py", ECHO_AGENT)
    project.write("worse.py", "def answer(text):\n    return 'no <b>idea</b>'\n")
    rows = ["  - {id: ../odd & <b>, input: one, expected: ONE}"]
    rows += [f"  - {{id: c{n}, input: q{n}, expected: Q{n}}}" for n in range(6)]
    head = "agent: {python: ./agent.py:answer}\nmetrics: [exact_match]\n"
    gate = "gate: [{metric: exact_match, min: 0.9}, {metric: exact_match, max_drop: 0.1}]\n"
    for name in ("alpha", "beta"):
        cases = "cases:\n" + "\n".join(rows) + "\n"
        project.write(f"{name}.yaml", f"evalset: {name}\n{head}{gate}{cases}")
        assert project.evalkit("baseline", f"{name}.yaml", "--trials", "3").code == 0
        done = project.evalkit(
            "run", f"{name}.yaml", "--run-id", f"{name}-1", "--agent-version", "v1"
        )
        assert done.code == 0, done.out
    worse = ("--agent", "./worse.py:answer", "--agent-version", "v2")
    assert project.evalkit("run", "beta.yaml", "--run-id", "beta-2", *worse).code == 1
    return project


@pytest.fixture(scope="module")
def view(stored: Project) -> Iterator[View]:
    with open_view(stored, "--no-open") as opened:
        yield opened


def test_only_a_browser_with_the_token_is_served(view: View) -> None:
    cookie = {"Cookie": view.cookie}
    name, _, _ = view.cookie.partition("=")
    for headers in ({}, {"Cookie": f"{name}="}, {"Cookie": f"{name}=wrong"}, {"Cookie": "a=b"}):
        for target in ("/", "/runs/beta-2.html", "/events", "/?token=", "/?token=wrong"):
            status, _, body = view.ask(target, headers)
            assert status == 403
            assert "beta" not in body
    assert view.ask("/", cookie | {"Host": f"evil.example:{view.port}"})[0] == 421
    assert view.ask("/", cookie | {"Host": f"localhost:{view.port}"})[0] == 200
    assert view.ask("/", cookie | {"Origin": "http://evil.example"})[0] == 403
    assert view.ask("/", cookie | {"Sec-Fetch-Site": "cross-site"})[0] == 403
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, _ = view.ask("/", cookie, method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    status, headers, body = view.ask("/", cookie, "HEAD")
    assert (status, body) == (200, "")
    parts = urlsplit(view.address)
    _, headers, _ = view.ask(f"/?{parts.query}")
    assert headers["Location"] == f"{view.folder}/index.html"
    sent = {"HttpOnly", "SameSite=Strict", f"Path={view.folder}/"}
    assert sent <= set(headers["Set-Cookie"].split("; ")), "no other port of this host gets it"
    assert len(view.folder) > 40
    assert parts.query.partition("=")[2] not in headers["Set-Cookie"], "another secret"


def test_every_answer_forbids_scripts_of_others_copies_and_guesses(view: View) -> None:
    for target in ("/", "/runs/beta-2.html", "/nothing.html", "/?token=wrong"):
        _, headers, _ = view.ask(target, {"Cookie": view.cookie})
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert policy.endswith("frame-ancestors 'none'")
        assert "unsafe" not in policy
        assert "aiohttp" not in headers["Server"]


def test_it_listens_on_loopback_alone(view: View) -> None:
    process = psutil.Process(view.process.pid)
    listening = [each.laddr for each in process.net_connections() if each.status == "LISTEN"]
    assert {each.ip for each in listening} <= {"127.0.0.1", "::1"}
    assert {each.port for each in listening} == {view.port}
    if len(listening) > 1:
        with socket.create_connection(("::1", view.port), timeout=10) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: [::1]:{view.port}\r\n\r\n".encode())
            assert b" 403 " in connection.recv(100)


@pytest.mark.parametrize(
    "target",
    [
        "/../alpha.yaml",
        "/..%2falpha.yaml",
        "/%2e%2e/alpha.yaml",
        "/runs/../../alpha.yaml",
        "/runs/..%2f..%2falpha.html",
        "/runs/beta-2/run.json",
        "/runs/beta-2/..%2f..%2f..%2falpha.html",
        "/diffs/beta-2/..%2f..%2fbaselines%2falpha.html",
        "/runs/beta-2.html%00",
        "//etc/passwd",
        "/.evalkit/runs/beta-2/run.json",
        "/sets/alpha.html",
        "/runs-2.html",
    ],
)
def test_an_address_is_looked_up_and_never_opened(view: View, target: str) -> None:
    status, _, body = view.ask(target, {"Cookie": view.cookie})
    assert status == 404
    assert "exact_match" not in body


def crawl(read: Any, start: str) -> dict[str, str]:
    """Return every page that links lead to, by address; a link that leads nowhere is an error."""
    pages: dict[str, str] = {}
    waiting = [start]
    while waiting:
        address = waiting.pop()
        if address in pages:
            continue
        pages[address] = read(address)
        links = Links()
        links.feed(pages[address])
        for link in links.found:
            path, _, anchor = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(address), unquote(path)))
            if not path:
                assert not anchor or unquote(anchor) in links.ids, (address, link)
            else:
                assert "://" not in link
                waiting.append(target)
    return pages


class Links(HTMLParser):
    """The links and the ids of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.add(values.get("id") or "")
        if name == "a":
            self.found.append(values["href"] or "")


def test_every_page_is_reached_by_links(view: View) -> None:
    pages = crawl(lambda address: view.get(f"/{address}"), "index.html")
    home = pages["index.html"]
    assert "1 of 2 fails at its newest run" in home
    assert home.index(">beta<") < home.index(">alpha<"), "failing first"
    assert "runs/beta-2.html" in pages
    assert "runs/beta-2/case-c0.html" in pages
    assert "runs/beta-2/case~1.html" in pages
    assert "diffs/beta-2/alpha-1.html" in pages
    assert "diffs/beta-2/baseline.html" in pages
    assert sum(address.startswith("sets/") for address in pages) == 2
    case = pages["runs/beta-2/case-c0.html"]
    assert "0 of 1 scored trials in this run" in case
    assert "3 of 3 scored trials in the baseline" in case
    assert "no &lt;b&gt;idea&lt;/b&gt;" in case
    assert "<b>idea" not in "".join(pages.values())


@pytest.mark.slow
def test_pages_are_sound_in_a_browser(view: View, browser: Any) -> None:
    signed_in = view.sign_in(browser)
    for address in ("", "runs/beta-2/case-c0.html", "compare/beta-2.html", "runs/beta-2.html"):
        check_page(signed_in, f"{view.root}/{address}", opens_folds=False)


def test_the_home_page_works_by_keyboard(view: View, browser: Any) -> None:
    with open_page(view.sign_in(browser), f"{view.root}/") as page:
        page.keyboard.press("j")
        focused = "document.activeElement.textContent"
        assert page.evaluate(focused) == "beta"
        page.keyboard.press("j")
        assert page.evaluate(focused) == "alpha"
        page.keyboard.press("k")
        page.keyboard.press("/")
        page.keyboard.type("v2")
        runs = page.locator(".run[data-row]:visible")
        assert runs.count() == 1
        assert "1 of 5 runs" in page.locator("#filter-count").inner_text()
        page.keyboard.press("Escape")
        assert runs.count() == 5
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/sets/beta-*.html")
        page.go_back()
        page.get_by_role("link", name="beta-2", exact=True).click()
        page.wait_for_url("**/runs/beta-2.html")
        page.get_by_role("link", name="compare", exact=True).click()
        page.get_by_role("link", name="beta-1", exact=True).click()
        page.wait_for_url("**/diffs/beta-2/beta-1.html")


def start_run(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        project.command("run", *arguments),
        cwd=project.folder,
        env=project.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def waiting(project: Project) -> Project:
    """A project whose agent answers q0 when there is a file go-q0."""
    project.write("agent.py", WAITING_AGENT)
    rows = "\n".join(f"  - {{id: c{n}, input: q{n}, expected: Q{n}}}" for n in range(4))
    project.write(
        "slow.yaml",
        "evalset: slow\nagent: {python: ./agent.py:answer}\nmetrics: [exact_match]\n"
        f"trials: 1\nconcurrency: 4\ngate: [{{must_pass: all}}]\ncases:\n{rows}\n",
    )
    return project


@pytest.mark.slow
def test_a_run_is_followed_to_its_verdict_without_a_reload(waiting: Project, browser: Any) -> None:
    with open_view(waiting) as view, open_page(view.sign_in(browser), f"{view.root}/") as page:
        page.evaluate("window.kept = 1")
        assert "No run is stored here" in page.inner_text("main")
        run = start_run(waiting, "slow.yaml", "--run-id", "first")
        try:
            page.get_by_role("heading", name="Running: slow").wait_for(timeout=20_000)
            size = page.locator(".size")
            assert "of 4 trials" in size.inner_text()
            for done, name in enumerate(("go-q0", "go-q1"), start=1):
                waiting.write(name, "")
                page.locator(f"section.live[data-done='{done}']").wait_for(timeout=20_000)
            assert "2 of 4 trials" in size.inner_text()
            figures = page.locator(".figures").inner_text()
            assert re.search(r"failed\s+1 of 2", figures)
            assert re.search(r"left, about\s+not known yet", figures)
            assert "No verdict before the last trial" in page.inner_text("main")
            worst = page.locator(".worst a")
            assert worst.all_inner_texts() == ["c1"]
            worst.focus()
            waiting.write("go-q2", "")
            page.locator("section.live[data-done='3']").wait_for(timeout=20_000)
            assert page.evaluate("document.activeElement.textContent") == "c1", "focus stays"
            assert page.locator("#figures[aria-live=polite]").count() == 1
            waiting.write("go-q3", "")
            row = page.locator(".run[data-row]", has_text="first")
            row.get_by_text("FAIL").wait_for(timeout=20_000)
            assert page.locator("section.live").count() == 0
            assert page.evaluate("window.kept") == 1, "the page was not loaded again"
        finally:
            run.kill()
            run.wait()


@pytest.mark.slow
def test_a_killed_run_is_interrupted_and_can_be_continued(waiting: Project, browser: Any) -> None:
    waiting.write("go-q0", "")
    with open_view(waiting) as view:
        run = start_run(waiting, "slow.yaml", "--run-id", "half")
        try:
            address = f"{view.root}/runs/half.html"
            wait_until(lambda: view.ask("/runs/half.html", {"Cookie": view.cookie})[0] == 200)
            with open_page(view.sign_in(browser), address) as page:
                page.locator("section.live[data-done='1']").wait_for(timeout=20_000)
                run.kill()
                page.get_by_role("heading", name="Interrupted: slow").wait_for(timeout=20_000)
                shown = page.inner_text("main")
                assert "1 of 4 trials" in shown
                assert "evalkit run slow.yaml --resume --run-id half" in shown
                assert "left, about" not in shown
            check_page(view.sign_in(browser), address)
            pages = crawl(lambda target: view.get(f"/{target}"), "runs/half.html")
            assert "not run" in pages["runs/half/stored.html"]
            assert "No trial of this case was run" in pages["runs/half/case-c3.html"]
        finally:
            run.kill()
            run.wait()


def wait_until(is_done: Any, timeout_s: float = 20) -> None:
    end_s = time.monotonic() + timeout_s
    while not is_done():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_a_store_that_breaks_meanwhile_gives_a_page_that_says_so(project: Project) -> None:
    for number in range(3):
        assert project.evalkit("run", "echo.yaml", "--run-id", f"r{number}").code == 0
    with open_view(project) as view:
        assert "r0" in view.get("/")
        trials = project.runs()[0] / "trials.jsonl"
        trials.write_bytes(trials.read_bytes()[:-20])
        (project.runs()[1] / "run.json").write_text('{"half": ')
        cookie = {"Cookie": view.cookie}
        status, _, body = view.ask("/runs/r0.html", cookie)
        assert status == 503
        assert "changed by something else than the run that wrote it" in body
        wait_until(lambda: "unreadable" in view.get("/"))
        assert "not a run" in view.get("/runs/r1.html")
        assert "PASS" in view.get("/runs/r2.html")
        shutil.rmtree(project.folder / ".evalkit")
        wait_until(lambda: "No run is stored here" in view.get("/"))
        status, _, body = view.ask("/runs/r2.html", cookie)
        assert status == 404
        assert "may have been deleted" in body
        (project.folder / ".evalkit").mkdir()
        (project.folder / ".evalkit" / "runs").write_text("a file")
        assert "No run is stored here" in view.get("/")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_although_a_page_listens(stored: Project, number: int) -> None:
    with open_view(stored) as view, socket.create_connection(("127.0.0.1", view.port)) as page:
        host = f"Host: 127.0.0.1:{view.port}\r\nCookie: {view.cookie}\r\n\r\n"
        page.sendall(f"GET {view.folder}/events?page=index.html HTTP/1.1\r\n{host}".encode())
        received = b""
        while b"event: store" not in received:
            received += page.recv(4096)
        assert b"text/event-stream" in received
        with socket.create_connection(("127.0.0.1", view.port)) as scanner:
            scanner.sendall(b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n")
            assert b" 400 " in scanner.recv(100)
        code, err = view.stop(number)
        assert code == 0
        assert err.splitlines()[-1] == "evalkit view: stopped."
        assert "Traceback" not in err


def test_two_views_work_at_once_and_a_port_in_use_is_said(stored: Project, view: View) -> None:
    with open_view(stored, "alpha") as other:
        assert other.port != view.port
        assert view.ask("/", {"Cookie": other.cookie})[0] == 403
        _, headers, _ = other.ask(f"/?{urlsplit(other.address).query}")
        assert headers["Location"] == f"{other.folder}/runs/alpha-1.html"
    done = stored.evalkit("view", "--port", str(view.port))
    assert done.code == 2
    assert f"--port {view.port}: Address already in use. Choose another one" in done.err
    assert stored.evalkit("view", "nothing").code == 2
    refused = stored.evalkit("view", "--open", "--export", "out", "--port", "4000")
    assert refused.code == 2
    assert "--port has no effect" in refused.err
    assert "--open has no effect" in refused.err


def watch_browser(project: Project, *arguments: str, **env: str) -> tuple[str, str]:
    """Return the address that view prints in a terminal, and the page that it opens in a browser."""
    opened = project.folder / "opened"
    opened.unlink(missing_ok=True)
    script = project.write(
        "browser",
        f'#!/bin/sh\nfile=${{1#file://}}; stat -c %a "$file" > {opened}.new\n'
        f'cat "$file" >> {opened}.new && mv {opened}.new {opened}\n',
    )
    script.chmod(0o755)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        project.command("view", *arguments),
        cwd=project.folder,
        env=project.environ({"BROWSER": f"{script} %s", "DISPLAY": ":7", "TERM": "xterm", **env}),
        stdin=slave,
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    try:
        printed = os.read(master, 4096).decode().strip()
        with contextlib.suppress(AssertionError):
            wait_until(opened.exists, 5 if not arguments and not env else 1)
        return printed, opened.read_text().strip() if opened.exists() else ""
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        os.close(master)
        os.close(slave)


@pytest.mark.slow
def test_a_browser_is_opened_in_a_terminal_with_an_address_of_its_own(project: Project) -> None:
    printed, opened = watch_browser(project)
    assert printed.startswith("http://127.0.0.1:")
    mode, _, page = opened.partition("\n")
    assert mode == "600", "no other user reads the address"
    assert urlsplit(printed).netloc in page
    assert urlsplit(printed).query not in page
    assert watch_browser(project, "--no-open")[1] == ""
    assert watch_browser(project, CI="true")[1] == ""


def test_a_page_on_disk_leads_a_browser_to_the_first_page(
    stored: Project, browser: Any, tmp_path: Path
) -> None:
    with open_view(stored, "alpha") as view:
        start = tmp_path / "open.html"
        start.write_text(f'<meta http-equiv="refresh" content="0; url={view.address}">')
        page = browser.new_page()
        page.goto(start.as_uri())
        page.wait_for_url(f"{view.root}/runs/alpha-1.html")
        assert "alpha" in page.inner_text("main")
        page.close()


def export(project: Project, *arguments: str) -> Done:
    return project.evalkit("view", "--export", *arguments)


def test_an_export_has_no_dead_link_and_works_from_files(
    stored: Project, browser: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "a site" / "below"
    done = export(stored, str(folder), "--max-runs", "4")
    assert done.code == 0, done.err
    assert "1 older run is not exported" in done.err
    pages = crawl(lambda address: (folder / address).read_text(), "index.html")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(pages) == files - {"evalkit-export.json"}
    assert {"runs/beta-2.html", "diffs/beta-2/beta-1.html", "diffs/beta-2/baseline.html"} <= files
    everything = "".join(pages.values())
    assert "token" not in everything.replace("tokens", "")
    assert "connect-src" not in everything
    assert not re.search(r"""(?:href|src)=["'](?:/|https?:)""", everything)
    check_page(browser, folder / "index.html", opens_folds=False)
    with open_page(browser, (folder / "index.html").as_uri()) as page:
        page.get_by_role("link", name="beta-2", exact=True).click()
        page.locator("#case-c0 > summary").click()
        page.locator("#case-c0").get_by_role("link", name="every trial").click()
        assert "0 of 1 scored trials" in page.inner_text("main")
        page.locator(".crumb a").last.click()
        assert page.url.endswith("runs/beta-2.html#case-c0")


def test_an_export_replaces_only_its_own_files(project: Project) -> None:
    assert export(project, "out").code == 2, "nothing to export"
    for number in range(2):
        assert project.evalkit("run", "echo.yaml", "--run-id", f"r{number}").code == 0
    project.write("mine/notes.txt", "keep")
    refused = export(project, "mine")
    assert refused.code == 2
    assert "has files that are no export" in refused.err
    assert sorted(path.name for path in (project.folder / "mine").iterdir()) == ["notes.txt"]
    assert export(project, "out").code == 0
    assert (project.folder / "out/runs/r0.html").exists()
    project.write("out/notes.txt", "keep")
    shutil.rmtree(project.folder / ".evalkit/runs/r0")
    assert export(project, "out").code == 0
    assert not (project.folder / "out/runs/r0.html").exists()
    assert (project.folder / "out/runs/r1.html").exists()
    assert (project.folder / "out/notes.txt").read_text() == "keep"
    project.write(
        "out/evalkit-export.json", '{"schema": "evalkit.export/v1", "files": ["../agent.py"]}'
    )
    assert export(project, "out").code == 0
    assert (project.folder / "agent.py").exists()
    # What a folder was prepared with is neither removed nor written through.
    project.write("elsewhere/keep.html", "keep")
    listed = '{"schema": "evalkit.export/v1", "files": ["a/keep.html", "notes.txt"]}'
    project.write("out/evalkit-export.json", listed)
    (project.folder / "out/a").symlink_to(project.folder / "elsewhere")
    refused = export(project, "out")
    assert (refused.code, "out/a: is a symbolic link" in refused.err) == (2, True)
    (project.folder / "out/a").unlink()
    assert export(project, "out").code == 0
    assert (project.folder / "elsewhere/keep.html").exists()
    assert (project.folder / "out/notes.txt").exists()
    assert "is a file" in export(project, "echo.yaml").err


def test_a_project_without_runs_and_a_deleted_folder_are_no_bug(project: Project) -> None:
    with open_view(project) as view:
        assert "No run is stored here. Make one with: evalkit run EVALSET" in view.get("/")
        shutil.rmtree(project.folder)
        assert "No run is stored here" in view.get("/")
        project.folder.mkdir()
