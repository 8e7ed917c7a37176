"""Every knob of a run in one record, and how its layers of values are laid over each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a run is done and judged; an eval set, `evalkit.yaml` and the command line may each say."""

    trials: int | Literal["auto"] = "auto"
    """Trials of every case in a candidate run; `auto`: one, and more only while the gate is undecided."""

    concurrency: int = 8
    """Trials whose agent works at the same time."""

    max_errors: int = 0
    """Trials that may end without a score before the run counts as undecided."""

    on_inconclusive: Literal["pass", "fail"] = "pass"
    """What an inconclusive threshold does to the exit code; it is always printed."""

    on_judge_drift: Literal["warn", "fail"] = "warn"
    """Whether a judge that answers as another model than in the baseline leaves the run undecided."""

    retry_deadline_s: float = 120.0
    """The longest that retries of one trial may wait in all."""

    seed: int = 0
    """Given to agents and used wherever evalkit itself draws at random."""

    @property
    def first_trials(self) -> int:
        """Trials of every case that are run whatever they show."""
        return 1 if self.trials == "auto" else self.trials


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingsOverrides:
    """Settings given on the command line; None means not given."""

    trials: int | Literal["auto"] | None = None
    concurrency: int | None = None
    max_errors: int | None = None
    on_inconclusive: Literal["pass", "fail"] | None = None
    on_judge_drift: Literal["warn", "fail"] | None = None
    seed: int | None = None


SETTING_NAMES = frozenset(field.name for field in fields(Settings))

OPERATIONAL_SETTINGS = frozenset({"concurrency", "retry_deadline_s"})
"""Those that are about how the agent is run, not about what its run is held to."""


def merge_settings(base: Settings, *layers: Mapping[str, Any]) -> Settings:
    """Lay values over the defaults, the last layer winning; None means not given.

    >>> merge_settings(Settings(), {"trials": 3}, {"trials": None}).trials
    3
    """
    for values in layers:
        given = {name: value for name, value in values.items() if value is not None}
        base = replace(base, **given)
    return base
