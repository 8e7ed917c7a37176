"""Check whether another distribution overwrote the installed package `evalkit`.

The name `evalkit` on the package index belongs to another project, and pip lets two distributions
write the same files. This module imports nothing of evalkit, because any of it may be replaced.
"""

from __future__ import annotations

from pathlib import Path

DISTRIBUTION = "evalkit-ci"
INIT_FILE = "evalkit/__init__.py"
"""A file that every distribution of a package `evalkit` installs, as in its RECORD."""

SITE = Path(__file__).parents[2]


def find_conflict(site: Path = SITE) -> str | None:
    """Return what is wrong with the installed package and how to fix it; None if nothing is.

    Read the lists of installed files in `site`, because `importlib.metadata` takes as long to load
    as all of `evalkit --version`. A checkout and an editable install have no such list.
    """
    # A line of RECORD is `path,sha256=digest,size`; see PEP 376 and PEP 427.
    lines = {
        path.parent.name.partition("-")[0].replace("_", "-"): line
        for path in sorted(site.glob("*.dist-info/RECORD"))
        for line in _read_text(path).splitlines()
        if line.startswith(f"{INIT_FILE},")
    }
    own = lines.pop(DISTRIBUTION, None)
    reinstall = f"pip install --force-reinstall {DISTRIBUTION}"
    if lines:
        names = " ".join(lines)
        return (
            f"the package evalkit is also installed by another distribution: {names}. "
            f"Run: pip uninstall {names}; {reinstall}"
        )
    if own is not None and not _is_intact(site / INIT_FILE, own):
        return f"another distribution replaced files of {DISTRIBUTION}. Run: {reinstall}"
    return None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _is_intact(path: Path, line: str) -> bool:
    import base64
    import hashlib

    expected = line.split(",")[1].removeprefix("sha256=")
    if not expected:
        return True
    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return False
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == expected
