"""Set the limits given as NAME=VALUE before `--`, then execute the command after it.

This file is started by its path, so that it does not import evalkit.
"""

import contextlib
import os
import resource
import sys

BYTES_PER_MB = 2**20
NOT_EXECUTABLE = 126


def count_threads() -> int:
    """Count the threads of this user's processes, all of which RLIMIT_NPROC includes."""
    count = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{entry.name}/task"))  # noqa: PTH208 - no pathlib here
        except OSError:  # it ended meanwhile
            continue
    return count


def set_limit(name: int, maximum: int) -> None:
    """Set a limit, or keep a stricter one."""
    _, hard = resource.getrlimit(name)
    if hard != resource.RLIM_INFINITY:
        maximum = min(maximum, hard)
    resource.setrlimit(name, (maximum, maximum))


def main(arguments: list[str]) -> None:
    """Set the limits and execute the command."""
    split = arguments.index("--")
    given = dict(pair.split("=", 1) for pair in arguments[:split])
    set_limit(resource.RLIMIT_CORE, 0)
    set_limit(resource.RLIMIT_CPU, int(given["cpu_s"]))
    set_limit(resource.RLIMIT_FSIZE, int(given["file_mb"]) * BYTES_PER_MB)
    # RLIMIT_DATA does not count memory that is reserved and never used, as V8 does with gigabytes.
    # Systems other than Linux can only limit the whole address space.
    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    with contextlib.suppress(OSError, ValueError):  # macOS defines the limit but refuses to set it
        set_limit(memory, int(given["memory_mb"]) * BYTES_PER_MB)
    if os.path.isdir("/proc/self/task"):  # noqa: PTH112 - no pathlib here
        set_limit(resource.RLIMIT_NPROC, count_threads() + int(given["processes"]))
    command = arguments[split + 1 :]
    try:
        os.execvp(command[0], command)  # noqa: S606 - the purpose of this program
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(NOT_EXECUTABLE)


if __name__ == "__main__":
    main(sys.argv[1:])
