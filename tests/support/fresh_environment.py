"""A wheel of this checkout, and fresh environments of Python to install it in without a network."""

from __future__ import annotations

import base64
import ensurepip
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from evalkit import __version__
from tests.support.paths import ROOT

WHEEL = f"evalkit_ci-{__version__}-py3-none-any.whl"

_METADATA = f"Metadata-Version: 2.1\nName: evalkit-ci\nVersion: {__version__}\n"
_KIND = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_SCRIPTS = "[console_scripts]\nevalkit = evalkit.__main__:main\n"


def build_wheel(folder: Path) -> Path:
    """Write the wheel of this checkout, which needs nothing; see PEP 427."""
    info = f"evalkit_ci-{__version__}.dist-info"
    contents = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in sorted((ROOT / "evalkit").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    contents[f"{info}/METADATA"] = _METADATA.encode()
    contents[f"{info}/WHEEL"] = _KIND.encode()
    contents[f"{info}/entry_points.txt"] = _SCRIPTS.encode()
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return folder / WHEEL


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def make_environment(folder: Path, *, pip: bool = True) -> Path:
    """Create an environment with all that is installed here but evalkit; return its folder of programs."""
    bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    options = [] if pip and not bundled else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *options, str(folder)], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    if pip and bundled:
        # To unpack it is faster than to have it install itself.
        with zipfile.ZipFile(bundled[-1]) as archive:
            archive.extractall(site)
        program = folder / "bin" / "pip"
        program.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m pip "$@"\n')
        program.chmod(0o755)
    # The folder of pytest's own program is on the path, with programs that are named like packages.
    left_out = (ROOT, Path(sys.executable).parent)
    for place in map(Path, sys.path):
        if place.name.startswith(("lib", "python3")) or not place.is_dir() or place in left_out:
            continue
        for entry in place.iterdir():
            own = "evalkit" in entry.name or entry.suffix == ".pth" or entry.name.startswith("pip")
            if not own and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    return folder / "bin"


def install(bin_folder: Path, target: Path, *requirements: str) -> None:
    """Install into the environment `target` with the pip of another one, without a network."""
    subprocess.run(
        [
            *(bin_folder / "python", "-m", "pip", "--python", target / "python", "install"),
            *("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", *requirements),
        ],
        check=True,
    )
