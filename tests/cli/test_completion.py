"""What Tab completes in a real shell, after `evalkit --install-completion`."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalkit.cli.completion import complete_evalset
from tests.acceptance.test_repository import write_program
from tests.conftest import Project

BASH = """
source ~/.bashrc
complete -p evalkit
COMP_WORDS=(evalkit {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_evalkit_completion evalkit
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

LINES = {
    "run ec": "echo.yaml",
    "run sub": "sub/deep/other.yml",
    "rep": "repair",
    "show 20": "20990101-000000-echo-abcdef",
    "help gat": "gate",
    "validate ./ec": "./echo.yaml",
}
"""What is typed, and what one of the completions is."""


@pytest.fixture
def home(project: Project) -> Path:
    """A home with `evalkit` on the path, and a project with two sets, a stranger, and a run."""
    project.write("sub/deep/other.yml", "evalset: other\n")
    project.write("eclipse.yaml", "version: 2\n")
    project.write(".evalkit/runs/20990101-000000-echo-abcdef/run.json", "{}")
    made = project.folder.parent / "home"
    write_program(made / "bin" / "evalkit", f'exec {sys.executable} -m evalkit "$@"')
    return made


def shell_environ(project: Project, home: Path) -> dict[str, str]:
    environ = project.environ({"HOME": str(home), "PYTHONPATH": "", "TERM": "dumb"})
    environ["PATH"] = f"{home / 'bin'}:{environ['PATH']}"
    return {
        name: text for name, text in environ.items() if not name.startswith(("XDG_", "ZDOTDIR"))
    }


def install(shell: str, project: Project, home: Path) -> dict[str, str]:
    """Install the completion; return the environment of the shell."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    environ = shell_environ(project, home)
    # Otherwise the shell is that of the process above.
    detected = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = ["evalkit", "--install-completion", shell]
    done = subprocess.run(
        command, cwd=project.folder, env={**environ, **detected}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return environ


def ask(command: list[str], project: Project, environ: dict[str, str]) -> list[str]:
    done = subprocess.run(
        command, cwd=project.folder, env=environ, capture_output=True, check=False, text=True
    )
    return done.stdout.splitlines()


def test_bash_completes_commands_sets_runs_and_topics(project: Project, home: Path) -> None:
    environ = install("bash", project, home)
    for words, expected in LINES.items():
        found = ask(["bash", "--norc", "-c", BASH.format(words=words)], project, environ)
        # Where nothing fits, bash completes the names of files.
        assert "-o default" in found[0]
        assert expected in found[1:], (words, found)
        assert "eclipse.yaml" not in found


def test_fish_completes_commands_sets_runs_and_topics(project: Project, home: Path) -> None:
    environ = install("fish", project, home)
    for words, expected in LINES.items():
        found = ask(["fish", "-c", f'complete -C "evalkit {words}"'], project, environ)
        assert expected in [line.partition("\t")[0] for line in found], (words, found)
    assert ask(["fish", "-c", 'complete -C "evalkit run --html sub/d"'], project, environ)


def test_zsh_completes_a_set(project: Project, home: Path) -> None:
    environ = install("zsh", project, home)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.folder)
        os.execvpe("zsh", ["zsh", "-i"], {**environ, "PS1": "ready> "})
    try:
        read_until(terminal, "ready> ")
        # The first Tab of a session only loads the function.
        os.write(terminal, b"evalkit run ec\t\t")
        read_until(terminal, "ho.yaml")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def read_until(terminal: int, text: str) -> None:
    """Read what the terminal shows until a text is there."""
    shown, end = "", time.monotonic() + 20
    while text not in shown:
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65_536).decode(errors="replace")


def test_no_name_that_a_shell_would_run_is_offered_and_a_pipe_is_not_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a$(touch x).yaml", "b;c.yaml", "d e.yaml", "f`g`.yaml", "h\ni.yaml"):
        project.write(name, "evalset: other\n")
    os.mkfifo(project.folder / "pipe.yaml")
    monkeypatch.chdir(project.folder)
    assert complete_evalset("") == ["echo.yaml"]
