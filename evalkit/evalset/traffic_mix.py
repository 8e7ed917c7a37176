"""Read and write the weights of cases by traffic: `traffic/NAME.json` next to the set NAME."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from math import isfinite
from pathlib import Path

import msgspec

from evalkit.core.eval_set import Rule, TrafficMix
from evalkit.core.files import path_exists
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.serialization import parse_stored_json
from evalkit.core.source_files import UnreadableFile, display_path, read_file, resolve_inside

SCHEMA = "evalkit.traffic_mix/v1"

_ROUNDING = 1e-6


def mix_path(evalset_path: Path, name: str) -> Path:
    """Return the path of the weights of a set: in `traffic/` next to the set, under its name."""
    return evalset_path.parent / "traffic" / f"{name}.json"


def attach_mix(
    gate: Sequence[Rule], path: Path, root: Path, problems: list[Problem]
) -> tuple[Rule, ...]:
    """Give the rules with `estimand: traffic` the stored weights, if there are any."""
    if not any(rule.estimand == "traffic" for rule in gate) or not path_exists(path):
        return tuple(gate)
    mix = _read_mix(path, root, problems)
    return tuple(replace(rule, mix=mix) if rule.estimand == "traffic" else rule for rule in gate)


def format_mix(mix: TrafficMix) -> str:
    """Return the content of the file; equal weights give equal bytes."""
    plain = {"schema": SCHEMA, **msgspec.to_builtins(mix)}
    plain["shares"] = dict(sorted(plain["shares"].items()))
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n"


def describe_content(rule: Rule) -> Json:
    """Return what a rule says: without its line, which may move, and without weights it does not have."""
    content = msgspec.to_builtins(rule)
    left_out = {"where"} if rule.mix is not None else {"where", "mix"}
    return {key: value for key, value in content.items() if key not in left_out}


def _read_mix(path: Path, root: Path, problems: list[Problem]) -> TrafficMix | None:
    where = Location(path=display_path(path))
    try:
        stored = parse_stored_json(read_file(resolve_inside(path.name, path.parent, root)))
        if not isinstance(stored, dict) or stored.pop("schema", None) != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA!r}")
        mix = msgspec.convert(stored, TrafficMix, strict=True)
        for day in (mix.since, mix.until):
            date.fromisoformat(day)
        total = sum(mix.shares.values()) + mix.unmatched
        numbers = (*mix.shares.values(), mix.unmatched, mix.draws)
        if not all(isfinite(number) and number >= 0 for number in numbers):
            raise ValueError("a share is negative or not a number")
        if abs(total - 1) > _ROUNDING * max(1, len(mix.shares)):
            raise ValueError(f"its shares add up to {total:.3g}, not 1")
    except UnreadableFile as error:
        problems.append(Problem(message=f"the weights of traffic {error}", where=where))
        return None
    except ValueError as error:
        message = f"not weights of traffic: {error}. Write them again with evalkit traffic weigh."
        problems.append(Problem(message=message, where=where))
        return None
    return mix
