"""How much room the machine has for more processes."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil
import pytest

from evalkit.worker import capacity
from evalkit.worker.capacity import (
    count_free_files,
    count_usable_cpus,
    has_room_for_process,
    measure_available_memory,
)

MB = 1_000_000


def write_cgroup(folder: Path, limit: str, used: int, cached: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\nactive_file 3\n")
    return folder


def test_a_containers_limit_counts_and_its_cached_files_do_not(tmp_path: Path) -> None:
    cgroup = write_cgroup(tmp_path, str(100 * MB), used=90 * MB, cached=30 * MB)
    assert measure_available_memory(cgroup) == 40 * MB


@pytest.mark.parametrize("limit", ["max", "garbage"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, limit: str) -> None:
    available = psutil.virtual_memory().available
    for folder in (write_cgroup(tmp_path, limit, 0, 0), tmp_path / "missing"):
        assert measure_available_memory(folder) > available / 2


def test_open_files_are_counted() -> None:
    before = count_free_files()
    with Path(os.devnull).open() as _:
        assert count_free_files() == before - 1


def test_there_is_room_for_what_fits_beside_the_processes_that_are_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = psutil.Process().memory_info().rss
    monkeypatch.setattr(capacity, "measure_available_memory", lambda: 5 * taken)
    assert has_room_for_process(os.getpid(), 0)
    assert has_room_for_process(os.getpid(), 1)
    assert not has_room_for_process(os.getpid(), 2)


def test_there_is_no_room_when_few_files_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = limits[0] - count_free_files()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 30, hard))
        assert not has_room_for_process(os.getpid(), 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 60, hard))
        assert has_room_for_process(os.getpid(), 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_processor_can_be_used() -> None:
    assert 1 <= count_usable_cpus() <= (os.cpu_count() or 1)
