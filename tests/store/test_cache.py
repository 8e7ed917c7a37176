"""Entries of a cache: whose are believed, and which are taken for forged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalkit.core.errors import StoreError
from evalkit.core.trial import Score
from evalkit.store.cache import Cache, CacheTrust
from evalkit.store.seal import Seal

SEALED = CacheTrust(seal=Seal(["a key of more than 16 characters"]))
SCORE = Score(metric="m", value=1.0)

trusts = pytest.mark.parametrize("trust", [SEALED, CacheTrust()], ids=["sealed", "not sealed"])


def open_cache(folder: Path, trust: CacheTrust) -> Cache[Score]:
    return Cache(folder, Score, trust)


@trusts
def test_entries_of_this_and_of_earlier_processes_are_used(
    tmp_path: Path, trust: CacheTrust
) -> None:
    first = open_cache(tmp_path, trust)
    first.put("k1", SCORE)
    assert first.get("k1") == SCORE
    later = open_cache(tmp_path, trust)
    assert (later.get("k1"), later.get("k2")) == (SCORE, None)
    later.delete("k1")
    first.refuse_forged()
    later.refuse_forged()
    assert not later.warnings


@trusts
def test_entries_of_a_process_that_runs_at_the_same_time_are_neither_used_nor_removed(
    tmp_path: Path, trust: CacheTrust
) -> None:
    mine, other = open_cache(tmp_path, trust), open_cache(tmp_path, trust)
    other.put("k1", SCORE)
    assert mine.get("k1") is None
    mine.put("k2", SCORE)
    for cache in (mine, other):
        cache.refuse_forged()
    assert open_cache(tmp_path, trust).get("k1") == SCORE


@trusts
def test_an_entry_that_was_touched_or_moved_here_is_not_used_and_is_removed(
    tmp_path: Path, trust: CacheTrust
) -> None:
    cache_folder, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    for key in ("aa1", "bb1"):
        open_cache(cache_folder, trust).put(key, SCORE)
    open_cache(elsewhere, CacheTrust()).put("cc1", SCORE)
    cache = open_cache(cache_folder, trust)
    (elsewhere / "cc").rename(cache_folder / "cc")
    entry = cache_folder / "aa" / "aa1.json"
    before = entry.stat()
    entry.write_bytes(entry.read_bytes())
    os.utime(entry, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [cache.get(key) for key in ("aa1", "bb1", "cc1")] == [None, SCORE, None]
    with pytest.raises(StoreError, match="written by something else than evalkit"):
        cache.refuse_forged()
    left = open_cache(cache_folder, trust)
    assert left.get("cc1") is None


def test_a_seal_holds_for_one_key_and_one_entry(tmp_path: Path) -> None:
    open_cache(tmp_path, SEALED).put("aa1", SCORE)
    other = CacheTrust(seal=Seal(["another key of 16 characters or more"]))
    cache = open_cache(tmp_path, other)
    assert cache.get("aa1") is None
    assert "without a seal of this key" in cache.warnings["seal"]
    # A key that was rotated is accepted as a further one.
    rotated = CacheTrust(
        seal=Seal(["another key of 16 characters or more", "a key of more than 16 characters"])
    )
    assert open_cache(tmp_path, rotated).get("aa1") == SCORE
    required = open_cache(tmp_path, CacheTrust(requires_seal=True))
    assert required.get("aa1") is None
