"""Store a promoted run as one reviewable file: a header line, then one line per case, sorted by id.

The header has a digest of the rest, which detects a score edited by hand. Every trial's output is kept,
so that a changed rubric or metric can be applied to both sides.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec

from evalkit.core.errors import ApprovalNeeded, StoreError
from evalkit.core.eval_set import Case
from evalkit.core.files import (
    hash_stored_file,
    open_stored_file,
    path_exists,
    write_atomically,
)
from evalkit.core.judgement import Judgement, JudgeTrust
from evalkit.core.literals import Json
from evalkit.core.location import NO_LOCATION
from evalkit.core.run import Run, RunHeader
from evalkit.core.serialization import (
    canonical_json,
    parse_stored_json,
    parse_stored_record,
    to_json_value,
)
from evalkit.core.trial import Trial
from evalkit.store.run_writer import RunWriter
from evalkit.store.runs import RESCORED_BASELINE_FILE
from evalkit.store.trial_lines import TrialOutline, line_filter

BASELINE_SCHEMA = "evalkit.baseline/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class _CaseLine:
    """A line of the file after the header."""

    case: Case
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _CaseId:
    """What a report on one case needs of the others."""

    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _CaseOutline:
    """A line with what a report on one case needs of the others."""

    case: _CaseId
    trials: tuple[TrialOutline, ...]

    def to_line(self) -> _CaseLine:
        """Return the line with nothing else in it."""
        trials = tuple(trial.to_trial() for trial in self.trials)
        return _CaseLine(case=Case(id=self.case.id, input=""), trials=trials)


def baseline_path(evalset_path: Path, name: str) -> Path:
    """Return the path of an eval set's baseline: in `baselines/` next to the set, under its name."""
    return evalset_path.parent / "baselines" / f"{name}.jsonl"


def store_rescored_baseline(baseline: Run, writer: RunWriter) -> None:
    """Store a rescored baseline with its run, so that the gate can be evaluated again.

    Raises:
        StoreError: it could not be saved.
    """
    # A run that serves as the baseline is not stored: its name finds it, and it is rescored.
    if Path(baseline.path).suffix == ".jsonl":
        source = hash_stored_file(Path(baseline.path))
        writer.write_baseline(_format_baseline(baseline, rescored_from=source).encode())


def read_rescored_baseline(run: Run, recorded: Path, only_case: str | None = None) -> Run | None:
    """Return the rescored baseline of a run; None if there is none, or if `recorded` changed since.

    `only_case` is as in `read_baseline`.

    Raises:
        StoreError, ApprovalNeeded: it exists and cannot be trusted.
    """
    path = Path(run.path) / RESCORED_BASELINE_FILE
    if not run.path or not path_exists(path):
        return None
    with open_stored_file(path) as stream:
        header = _parse_header(path, stream.readline())
    if header.get("renewed_from") != hash_stored_file(recorded):
        return None
    return replace(
        read_baseline(path, only_case), path=str(recorded), warnings=tuple(header["warnings"])
    )


def write_baseline(path: Path, run: Run) -> None:
    """Store a complete run, in which every trial has its scores, as a baseline.

    Raises:
        StoreError: it could not be saved; an old baseline is unchanged.
    """
    write_atomically(path, _format_baseline(run))


def _format_baseline(run: Run, *, rescored_from: str = "") -> str:
    """Return a run as the content of a baseline file.

    For a rescored baseline, `rescored_from` is the digest of the file that it was made from.
    """
    # By id, so that moving a case in the set changes no line of the baseline.
    cases = sorted(run.header.cases, key=lambda case: case.id)
    trials: dict[str, list[Trial]] = {case.id: [] for case in cases}
    for trial in run.trials:
        trials[trial.case_id].append(trial)
    body = "".join(_case_line(case, trials[case.id]) + "\n" for case in cases)
    header = {
        **to_json_value(replace(run.header, cases=(), fresh={}, batch="", schema=BASELINE_SCHEMA)),
        "case_count": len(cases),
    }
    if run.trust is not None:
        header["trust"] = to_json_value(run.trust)
    if rescored_from:
        header |= {"renewed_from": rescored_from, "warnings": run.warnings}
    sha256 = _hash_header(header)
    sha256.update(body.encode())
    header["sha256"] = sha256.hexdigest()
    return canonical_json(header) + "\n" + body


def _hash_header(header: dict[str, Json]) -> hashlib._Hash:
    """Return the digest of the header, to be updated with the lines of the cases."""
    # A digest cannot cover itself.
    rest = {name: value for name, value in header.items() if name != "sha256"}
    return hashlib.sha256(canonical_json(rest).encode() + b"\n")


def _case_line(case: Case, trials: Sequence[Trial]) -> str:
    # Without locations: moving a case in its file must not change the baseline.
    metrics = tuple(replace(spec, where=NO_LOCATION) for spec in case.metrics)
    kept = replace(case, where=NO_LOCATION, metrics=metrics)
    return canonical_json(
        to_json_value({"case": kept, "trials": [_shorten_trial(each) for each in trials]})
    )


def _shorten_trial(trial: Trial) -> Trial:
    """Return a trial with only those parts of its judgments that a baseline needs.

    A score's explanation already names the levels, with reasons for those that are not the best, and the
    header names the judge. So only the model that answered and the verdicts with split votes are kept.
    """
    scores = tuple(
        replace(score, judgement=_shorten_judgement(score.judgement)) for score in trial.scores
    )
    # When a trial ran is of no use later, and would make a new baseline differ in every line.
    return replace(trial, scores=scores, started_s=None, took_s=None)


def _shorten_judgement(judgement: Judgement | None) -> Judgement | None:
    if judgement is None:
        return None
    split = (verdict for verdict in judgement.verdicts if len(set(verdict.votes)) > 1)
    kept = Judgement(
        model=judgement.model,
        fingerprint=judgement.fingerprint,
        verdicts=tuple(replace(each, evidence="", explanation="") for each in split),
    )
    if kept == Judgement():
        return None
    return replace(kept, judge=judgement.judge, digest=judgement.digest)


def read_baseline(path: Path, only_case: str | None = None) -> Run:
    """Read a baseline file.

    With `only_case`, the other cases and their trials have only what a report on that case needs.

    Raises:
        StoreError: it is missing, cut off, not a baseline, or made by a newer evalkit.
        ApprovalNeeded: its lines are readable, but were edited after they were recorded.
    """
    with open_stored_file(path) as stream:
        return _parse_lines(path, stream, only_case)


def parse_baseline(path: Path, content: bytes) -> Run:
    """Return the baseline in a file's content, for example its content in another commit.

    Raises:
        StoreError, ApprovalNeeded: as for `read_baseline`.
    """
    return _parse_lines(path, io.BytesIO(content))


def _parse_lines(path: Path, lines: BinaryIO, only_case: str | None = None) -> Run:
    header = _parse_header(path, lines.readline())
    sha256 = _hash_header(header)
    is_wanted = line_filter(only_case) if only_case is not None else None
    cases: list[Case] = []
    trials: list[Trial] = []
    line = b""
    for number, line in enumerate(lines, start=2):
        sha256.update(line)
        try:
            if is_wanted is None or is_wanted(line):
                row = parse_stored_record(line, _CaseLine)
            else:
                row = parse_stored_record(line, _CaseOutline).to_line()
        except ValueError as error:
            _refuse(path, number, f"not a case ({error})")
        cases.append(row.case)
        trials += row.trials
    if len(cases) != header["case_count"] or not line.endswith(b"\n"):
        _refuse(path, len(cases) + 1, f"cut off after {len(cases)} of {header['case_count']} cases")
    if sha256.hexdigest() != header["sha256"]:
        raise ApprovalNeeded(
            f"{path}: edited since it was recorded: its lines do not match its digest. "
            f"Restore it from git, or record it again with: evalkit baseline EVALSET"
        )
    try:
        # Skip keys that are not fields of the header, such as the digest.
        known = {name: header[name] for name in RunHeader.__slots__ if name in header}
        record = msgspec.convert({**known, "cases": []}, RunHeader, strict=True)
        trust = msgspec.convert(header.get("trust"), JudgeTrust | None, strict=True)
    except ValueError as error:
        _refuse(path, 1, f"not a header ({error})")
    return Run(
        header=replace(record, cases=tuple(cases)),
        trials=tuple(trials),
        path=str(path),
        trust=trust,
    )


def _parse_header(path: Path, line: bytes) -> dict[str, Json]:
    try:
        header = parse_stored_json(line)
    except ValueError as error:
        _refuse(path, 1, f"not a header ({error})")
    if not isinstance(header, dict):
        _refuse(path, 1, "not a header")
    schema = header.get("schema")
    if schema != BASELINE_SCHEMA:
        made_by = header.get("evalkit_version", "a newer version")
        _refuse(
            path,
            1,
            f"schema {schema!r}, made by evalkit {made_by}; this one reads {BASELINE_SCHEMA!r}",
        )
    if not isinstance(header.get("case_count"), int) or "sha256" not in header:
        _refuse(path, 1, "not a header (case_count or sha256 is missing)")
    return header


def _refuse(path: Path, line: int, reason: str) -> NoReturn:
    raise StoreError(
        f"{path}:{line}: baseline unreadable: {reason}. "
        f"Restore it from git, or record it again with: evalkit baseline EVALSET"
    )
