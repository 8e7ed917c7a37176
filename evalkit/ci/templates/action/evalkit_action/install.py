"""Install evalkit as a step of a workflow, and make sure that it is evalkit that was installed.

It needs only Python and pip, or uv. The variable EVALKIT_INSTALL has one requirement of pip,
or the lines of a requirements file. Paths start from the current folder.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .workflow_commands import escape, print_line

DISTRIBUTION = "evalkit-ci"
EXAMPLES = "evalkit-ci==VERSION, evalkit-ci @ git+https://HOST/OWNER/evalkit@COMMIT, or a wheel that you commit"

_OTHER_PROJECT = re.compile(r"evalkit\s*([\[=<>~!;@]|$)", re.IGNORECASE)
_SCP_ADDRESS = re.compile(r"(?P<user>[\w.-]+@[\w.-]+):(?P<path>[^/].*)")
_ARCHIVE = re.compile(r"\.(whl|zip|tar\.gz|tgz|tar\.bz2|tar\.xz)$")
_NAME = re.compile(r"""^\s*name\s*=\s*["']([^"']+)["']""", re.MULTILINE)


class Refused(Exception):
    """What was asked for cannot be installed as evalkit; the message says what to write instead."""


def read_project_name(folder: Path) -> str:
    """Return the name of the distribution in a folder; empty if there is none."""
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = _NAME.search(text.partition("[project]")[2])
    return found[1] if found else ""


def read_installed_version() -> str:
    """Return the version of evalkit that this Python has installed; empty if it has none."""
    code = f"import importlib.metadata as m; print(m.version({DISTRIBUTION!r}))"
    command = [sys.executable, "-EP", "-c", code]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def normalize_line(line: str) -> str:
    """Return a line as pip understands it: `git+` before the address of a repository, `./` before a path.

    Raises:
        Refused: it names another project, or a path that is not there.
    """
    if line.startswith(("-", "#")):
        return line
    if _OTHER_PROJECT.match(line) and not Path(line).exists():
        raise Refused(
            f"{line!r} is another project on the package index. This one is called {DISTRIBUTION}."
        )
    address = _SCP_ADDRESS.fullmatch(line)
    if address and " " not in line:
        return f"git+ssh://{address['user']}/{address['path']}"
    scheme, separator, rest = line.partition("://")
    if separator and " " not in scheme:
        is_archive = _ARCHIVE.search(re.split("[?#]", rest)[0])
        is_repository = scheme in ("http", "https", "ssh") and not is_archive
        return f"git+{line}" if is_repository else line
    return check_source(line) if is_path(line) else line


def is_path(line: str) -> bool:
    """Return whether a line without a scheme means a file or a folder."""
    return " @ " not in line and bool(
        line.startswith((".", "/", "~")) or _ARCHIVE.search(line) or Path(line).exists()
    )


def check_source(line: str) -> str:
    """Return the path of a file or folder with evalkit in it, as pip recognizes it.

    Raises:
        Refused: it is not there, or it is something else, such as the repository under test.
    """
    path = Path(re.sub(r"\[[\w, -]+\]$", "", line)).expanduser()
    if not path.exists():
        raise Refused(
            f"there is no {str(path)!r} on this machine. Replace it with what a runner can install: {EXAMPLES}."
        )
    name = read_project_name(path) if path.is_dir() else path.name.partition("-")[0]
    if name.lower().replace("_", "-") != DISTRIBUTION:
        found = f"the project {name!r}" if name else "no Python project"
        raise Refused(f"{line!r} is {found}, not {DISTRIBUTION}. Write {EXAMPLES}.")
    return line if line.startswith((".", "/", "~")) else f"./{line}"


def choose_lines(text: str) -> list[str]:
    """Return the lines to install; none if evalkit is installed already.

    Without any, install the checkout that contains this action, if it is evalkit's own. Never install
    the repository under test.

    Raises:
        Refused: nothing is named, and nothing is installed.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines:
        return [normalize_line(line) for line in lines]
    checkout = Path(__file__).resolve().parents[4]
    if read_project_name(checkout) == DISTRIBUTION:
        return [str(checkout)]
    if read_installed_version():
        return []
    raise Refused(f"it is empty, and no step before this one installed evalkit. Write {EXAMPLES}.")


def install_lines(lines: list[str]) -> int:
    """Install the lines as a requirements file, and return the exit code of pip or uv.

    With -E and -P, Python imports nothing from the checkout, whatever PYTHONPATH says.
    """
    pip = [sys.executable, "-EP", "-m", "pip"]
    has_pip = subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0
    # With --compile, the processes of a run do not compile the installed code again.
    command = [*pip, "install", "--quiet", "--compile", "--disable-pip-version-check"]
    if not has_pip and (uv := shutil.which("uv")):
        # The settings of uv in the checkout could replace what is installed.
        command = [
            uv,
            "pip",
            "install",
            "--no-config",
            "--quiet",
            "--compile",
            "--python",
            sys.executable,
        ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return subprocess.run([*command, "-r", str(file)], check=False).returncode


def complain(message: str) -> int:
    """Show a message in the log and as an annotation, and return the exit code for a wrong setup."""
    print_line(f"::error title=evalkit is not installed::{escape(message)}")
    return 2


def install_evalkit(environ: Mapping[str, str]) -> int:
    """Install evalkit, check that it is there, and return 0 or, with a message, 2."""
    try:
        lines = choose_lines(environ.get("EVALKIT_INSTALL", ""))
    except Refused as problem:
        return complain(f"The input `install` is wrong: {problem}")
    named = " ".join(lines)
    if lines and install_lines(lines):
        return complain(f"`install: {named}` failed; the log of this step has the reason.")
    version = read_installed_version()
    if not version:
        return complain(f"`install: {named}` did not install {DISTRIBUTION}. Write {EXAMPLES}.")
    print_line(f"{DISTRIBUTION} {version}")
    return 0
