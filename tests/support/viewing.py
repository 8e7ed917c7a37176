"""`evalkit view` as a user has it: a process that serves, asked as a browser or an attacker would."""

from __future__ import annotations

import http.client
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import Project

STOP_S = 20


@dataclass
class View:
    """A server, the address that it printed, and the cookie that the token was exchanged for."""

    process: subprocess.Popen[str]
    address: str
    cookie: str = ""
    folder: str = ""

    @property
    def port(self) -> int:
        return int(urlsplit(self.address).port or 0)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.folder}"

    def ask(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, dict[str, str], str]:
        """Send a request for a target in the server's folder; return status, headers, and body.

        A target with a token is at the top of the server.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        place = target if target.startswith("/?") else f"{self.folder}{target}"
        try:
            connection.putrequest(method, place, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": f"127.0.0.1:{self.port}", **(headers or {})}.items():
                connection.putheader(name, value)
            connection.endheaders()
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read().decode()
        finally:
            connection.close()

    def get(self, target: str) -> str:
        """Return the page at a path, as a browser that has the cookie gets it."""
        status, _, body = self.ask(target, {"Cookie": self.cookie})
        assert status == 200, (target, status, body.partition("<main")[2][:1000])
        return body

    def sign_in(self, browser: Any) -> SignedIn:
        """Return the browser with the cookie."""
        name, _, value = self.cookie.partition("=")
        return SignedIn(browser, {"name": name, "value": value, "url": f"{self.root}/"})

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End the server; return its exit code and what it wrote to stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=STOP_S)
        return self.process.returncode, err


@dataclass
class SignedIn:
    """A browser that has the cookie of a server in every page."""

    browser: Any
    cookie: dict[str, str]

    def new_page(self, **options: Any) -> Any:
        page = self.browser.new_page(**options)
        page.context.add_cookies([self.cookie])
        return page


@contextmanager
def open_view(project: Project, *arguments: str) -> Iterator[View]:
    """Start `evalkit view` in a project, and end it."""
    process = subprocess.Popen(
        project.command("view", *arguments),
        cwd=project.folder,
        env=project.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        view = View(process, process.stdout.readline().strip())
        assert view.address, process.stderr.read() if process.stderr else ""
        parts = urlsplit(view.address)
        status, headers, _ = view.ask(f"{parts.path}?{parts.query}")
        assert status == 303
        view.cookie = headers["Set-Cookie"].partition(";")[0]
        view.folder = "/" + headers["Location"].split("/")[1]
        yield view
        if process.poll() is None:
            code, err = view.stop()
            assert code == 0, err
            assert "Traceback" not in err
            assert err.endswith("evalkit view: stopped.\n")
    finally:
        process.kill()
        process.communicate()
