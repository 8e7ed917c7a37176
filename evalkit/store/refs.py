"""Find a run by its name: id, prefix, path, `latest`, `baseline`, agent version, or eval set."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import path_exists
from evalkit.core.project import relative_to_root
from evalkit.core.run import Run, RunHeader
from evalkit.core.source_files import display_path
from evalkit.evalset.base_version import baseline_run_id
from evalkit.store.baseline import baseline_path, read_baseline, read_rescored_baseline
from evalkit.store.last_command import (
    find_last_command,
    find_last_run_of,
    find_only_run,
    list_known_sets,
)
from evalkit.store.runs import (
    HEADER_FILE,
    list_run_ids,
    list_set_runs,
    read_header,
    read_run,
    runs_folder,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineChoice:
    """Which baseline a run is compared with: the set's own unless `ref` names another run.

    With `allow_missing`, thresholds that need a baseline are left out, with a note, if there is none. With
    `only_case`, the trials of other cases are not read in full.
    """

    ref: str | None = None
    allow_missing: bool = False
    only_case: str | None = None

    @property
    def uses_own(self) -> bool:
        """Whether it is the set's own baseline."""
        return self.ref is None or self.ref == "baseline"


def choose_stored_baseline(run: Run, choice: BaselineChoice) -> BaselineChoice:
    """Return which baseline a stored run is compared with, if the user names none."""
    # With --against, the baseline is the other agent's run, which is stored next to this one.
    if run.header.against and choice.ref is None:
        return replace(choice, ref=baseline_run_id(run.header.id))
    return choice


def fix_baseline(choice: BaselineChoice, *, root: Path, cwd: Path) -> BaselineChoice:
    """Return the choice with the id of its run, so that `latest` never means the command that asks.

    A choice that names no run is returned unchanged.
    """
    if choice.ref is None or choice.uses_own or path_exists(cwd / choice.ref):
        return choice
    try:
        return replace(choice, ref=find_run_folder(choice.ref, root).name)
    except (InvalidInput, StoreError):
        return choice  # the command that reads it reports the problem


def resolve_run(
    ref: str,
    *,
    root: Path,
    cwd: Path,
    same_set_as: RunHeader | None = None,
    only_case: str | None = None,
) -> Run:
    """Find the run that `ref` names.

    `baseline` is the baseline of the eval set of `same_set_as`, or else of the newest run. With
    `only_case`, the trials of other cases are not read in full.

    Raises:
        InvalidInput: no run, or more than one, has that name.
        StoreError, ApprovalNeeded: it exists and cannot be trusted.
    """
    path = cwd / ref
    if path.suffix == ".jsonl" and path_exists(path):
        return read_baseline(path, only_case)
    if path_exists(path / HEADER_FILE):
        return read_run(path, only_case)
    if ref == "baseline":
        header = same_set_as or read_header(find_run_folder("latest", root))
        path = baseline_path(root / header.evalset_path, header.evalset)
        if not path_exists(path):
            raise InvalidInput.single(
                f"{header.evalset_path} has no baseline: {display_path(path)} does not exist. "
                f"Record one with: evalkit baseline {header.evalset_path}"
            )
        return read_baseline(path, only_case)
    return read_run(find_run_folder(ref, root), only_case)


def find_run_folder(ref: str, root: Path) -> Path:
    """Return the folder of a stored run, by id, prefix, `latest`, agent version (the newest), or eval set.

    Raises:
        InvalidInput: no run, or more than one, has that name.
        StoreError: what the last command ran cannot be read.
    """
    if ref == "latest":
        return runs_folder(root) / find_only_run(find_last_command(root), ref)
    run_ids = list_run_ids(root)
    if not run_ids:
        raise InvalidInput.single(
            f"{runs_folder(root)}: no stored runs. Make one with: evalkit run EVALSET"
        )
    # A complete id is unique even where longer ids start with it.
    found = [run_id for run_id in run_ids if run_id == ref] or [
        run_id for run_id in run_ids if run_id.startswith(ref)
    ]
    if not found:
        # An agent version may have many runs and means the newest one.
        found = _find_version_runs(ref, run_ids, root)[-1:]
    if len(found) == 1:
        return runs_folder(root) / found[0]
    if not found and (of_set := find_last_run_of(ref, relative_to_root(root, Path(ref)), root)):
        return runs_folder(root) / find_only_run((of_set,), ref)
    if found:
        raise InvalidInput.single(
            f"{ref!r} is the start of {len(found)} runs: {', '.join(found[-5:])}. Give more characters."
        )
    raise InvalidInput.single(f"no run {ref!r}{_suggest_run(ref, run_ids, root)}")


def _suggest_run(ref: str, run_ids: Sequence[str], root: Path) -> str:
    """Return the rest of the message about a run that does not exist."""
    names = ("latest", "baseline", *list_known_sets(root).values(), *run_ids)
    near = difflib.get_close_matches(ref, names, n=1, cutoff=0.75)
    if near:
        return f"; did you mean {near[0]!r}?"
    newest = ", ".join(run_ids[-3:])
    return f": it is not an id, a path, an eval set, or an agent version. Newest runs: {newest}."


def find_version_folders(ref: str, *, root: Path, cwd: Path) -> list[Path]:
    """Return the folders of all stored runs of an agent version, oldest first.

    Empty if `ref` is not a version. A path, an id or its start, `latest` and `baseline` take precedence.
    """
    path = cwd / ref
    if path_exists(path / HEADER_FILE) or (path.suffix == ".jsonl" and path_exists(path)):
        return []
    run_ids = list_run_ids(root)
    if ref in ("latest", "baseline") or any(run_id.startswith(ref) for run_id in run_ids):
        return []
    return [runs_folder(root) / run_id for run_id in _find_version_runs(ref, run_ids, root)]


def read_newest_run(evalset_path: str, root: Path) -> Run:
    """Return the newest readable run of an eval set.

    Raises:
        InvalidInput: there is none.
    """
    for folder in list_set_runs(root, evalset_path):
        if not _is_of_bisect(folder):
            return read_run(folder)
    raise InvalidInput.single(f"{evalset_path}: no stored runs. Make one with: evalkit run EVALSET")


def _is_of_bisect(folder: Path) -> bool:
    """Return whether `evalkit bisect` made a run, to test an earlier commit."""
    try:
        return read_header(folder).command == "bisect"
    except StoreError:
        return False  # the caller reads it in full and reports the problem


def read_baseline_for(
    run: Run, choice: BaselineChoice, own: Path, *, root: Path, cwd: Path
) -> Run | None:
    """Return the baseline of a stored run; the rescored one if there is one.

    Raises:
        InvalidInput: the run that was named does not exist.
        StoreError, ApprovalNeeded: it exists and cannot be trusted.
    """
    if choice.uses_own and path_exists(own):
        rescored = read_rescored_baseline(run, own, choice.only_case)
        if rescored is not None:
            return rescored
    return read_chosen_baseline(choice, own, root=root, cwd=cwd)


def read_chosen_baseline(choice: BaselineChoice, own: Path, *, root: Path, cwd: Path) -> Run | None:
    """Return the baseline for a new run, the set's `own` file or another run; None if there is none.

    Raises:
        InvalidInput: the run that was named does not exist.
        StoreError, ApprovalNeeded: it exists and cannot be trusted.
    """
    if not choice.uses_own and choice.ref is not None:
        return resolve_run(choice.ref, root=root, cwd=cwd, only_case=choice.only_case)
    return read_baseline(own, choice.only_case) if path_exists(own) else None


def _find_version_runs(version: str, run_ids: Sequence[str], root: Path) -> list[str]:
    return [run_id for run_id in run_ids if _read_version(run_id, root) == version]


def _read_version(run_id: str, root: Path) -> str:
    try:
        return read_header(runs_folder(root) / run_id).agent_version
    except StoreError:
        return ""  # a broken run has no version to be found by
