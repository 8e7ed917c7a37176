"""Measure how many more processes the machine has room for."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil

CGROUP_FOLDER = Path("/sys/fs/cgroup")
"""Where Linux shows a container the limits of its own control group (version 2)."""

MEMORY_FACTOR = 2
"""Memory that must be available for each new process, in multiples of what a running one takes."""

RESERVED_FILES = 24
"""File descriptors to leave free for everything else that evalkit opens."""

FILES_PER_PROCESS = 8
"""File descriptors that a worker process takes while it is being started; afterwards it takes four."""


def count_usable_cpus() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_room_for_process(model_pid: int, starting: int) -> bool:
    """Return whether one more process like `model_pid` can be started, besides those being started.

    True if its memory cannot be measured, for example because it has just ended.
    """
    try:
        needed = MEMORY_FACTOR * psutil.Process(model_pid).memory_info().rss
    except psutil.Error:
        needed = 0
    return (
        measure_available_memory() >= (starting + 1) * needed
        and count_free_files() >= RESERVED_FILES + (starting + 1) * FILES_PER_PROCESS
    )


def measure_available_memory(cgroup: Path = CGROUP_FOLDER) -> int:
    """Return the bytes that new processes can take, on this machine and in its container."""
    available = psutil.virtual_memory().available
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        statistics = (cgroup / "memory.stat").read_text().split()
        # The kernel counts cached files as used, and gives them up when memory is needed.
        cached = int(statistics[statistics.index("inactive_file") + 1])
    except (OSError, ValueError, IndexError):  # no container, no limit, or another system
        return available
    return min(available, limit - used + cached)


def count_free_files() -> int:
    """Count the file descriptors that this process can still open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/dev/fd"))  # noqa: PTH208 - a folder of the kernel
    except OSError:
        return limit
    # Without a limit, the number is RLIM_INFINITY, which is -1 on some systems.
    return limit - used if limit >= 0 else RESERVED_FILES + FILES_PER_PROCESS * used
