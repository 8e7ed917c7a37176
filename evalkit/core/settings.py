"""The settings of a run, and how an eval set and the command line override the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

from evalkit.core.literals import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a run, which `evalkit.yaml`, the eval set, and the command line can change."""

    trials: int | Literal["auto"] = "auto"
    """Trials of every case; `auto` runs one, and more only while the gate is undecided."""

    concurrency: int = 8
    """Trials that run at the same time."""

    max_errors: int = 0
    """Trials that may end without a score before the run counts as undecided."""

    on_inconclusive: Literal["pass", "fail"] = "pass"
    """What an inconclusive threshold does to the exit code; it is always printed."""

    on_judge_drift: Literal["warn", "fail"] = "warn"
    """Whether a judge's model that differs from the baseline's is a warning, or leaves the run undecided."""

    retry_deadline_s: float = 120.0
    """Seconds for which the agent's endpoint may answer no call before calls are given up."""

    max_cost_usd: float | None = None
    """What the calls of the run's agents and judges may cost together; None is no limit."""

    seed: int = 0
    """The seed passed to agents and used for every random draw of evalkit."""

    @property
    def first_trials(self) -> int:
        """Trials of every case that run regardless of their results."""
        return 1 if self.trials == "auto" else self.trials


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingsOverrides:
    """Settings given on the command line or stored with a run; None means not given."""

    trials: int | Literal["auto"] | None = None
    concurrency: int | None = None
    max_errors: int | None = None
    on_inconclusive: Literal["pass", "fail"] | None = None
    on_judge_drift: Literal["warn", "fail"] | None = None
    retry_deadline_s: float | None = None
    max_cost_usd: float | None = None
    seed: int | None = None

    @classmethod
    def from_stored(cls, settings: Mapping[str, Json]) -> SettingsOverrides:
        """Return the settings that are stored with a run."""
        return cls(**{one.name: settings.get(one.name) for one in fields(cls)})

    def given(self) -> dict[str, Json]:
        """Return the settings that are given, by name."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def or_else(self, defaults: SettingsOverrides) -> SettingsOverrides:
        """Return these overrides, with `defaults` for those that are not given."""
        return replace(defaults, **self.given())


NO_OVERRIDES = SettingsOverrides()

OPERATIONAL_SETTINGS = frozenset({"concurrency", "retry_deadline_s", "max_cost_usd"})
"""Settings about how the agent is called. They have no influence on the gate."""

DEFAULT_BASELINE_TRIALS = 10
"""Trials of a recorded baseline. Ten detect an 8-point drop where one detects 11 points (n = 100)."""

DEFAULT_BASELINE_SEED = 1
"""Differs from a run's default, so that a candidate does not repeat the baseline's random draws."""


def merge_settings(
    values: Mapping[str, Json], overrides: SettingsOverrides = NO_OVERRIDES
) -> Settings:
    """Return the defaults, overridden by an eval set's values and then by the command line.

    >>> merge_settings({"trials": 3, "seed": 2}, SettingsOverrides(seed=5)).seed
    5
    """
    given = {name: value for name, value in values.items() if value is not None}
    return replace(Settings(), **{**given, **overrides.given()})
