"""Group the lines of a large file by their key, without holding the file in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

_GROUP_BYTES = 8 << 20
_MAX_GROUPS = 250
"""Files that are open at once; most systems allow 1,024."""


def group_lines(path: Path, prefix: bytes) -> Iterator[list[bytes]]:
    """Yield the lines of a file in groups of about 8 MB; lines of one key are in the same group.

    The key of a line is the text between `prefix`, with which it begins, and the next quote.
    """
    count = min(path.stat().st_size // _GROUP_BYTES + 1, _MAX_GROUPS)
    start = len(prefix)
    names = [path.with_name(f"{path.name}.{index}") for index in range(count)]
    with ExitStack() as stack, path.open("rb") as lines:
        streams = [stack.enter_context(name.open("wb")) for name in names]
        for line in lines:
            streams[hash(line[start : line.index(b'"', start)]) % count].write(line)
    for name in names:
        with name.open("rb") as stream:
            yield stream.readlines()
        name.unlink()
