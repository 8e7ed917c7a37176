"""Judges: what an eval set names under `judge:`, opened for the length of a run."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol, cast

from evalkit.core.judgement import JudgeSpec
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.evalset.keys import JUDGE_KINDS
from evalkit.judge.judge import Judge

JUDGES = {kind: f"evalkit.judge.{kind}" for kind in JUDGE_KINDS}
"""The module of each kind, imported when a set names it; it is a JudgeKind."""


class JudgeKind(Protocol):
    """What the module of a kind of judge offers."""

    def check(self, spec: JudgeSpec, surroundings: RunEnvironment) -> list[str]:
        """Find what is wrong with a spec, without asking anybody."""

    def open(
        self, spec: JudgeSpec, surroundings: RunEnvironment
    ) -> AbstractAsyncContextManager[Judge]:
        """Get a judge ready whose spec has been checked; nothing is sent or loaded yet."""


def check_judges(specs: Sequence[JudgeSpec], surroundings: RunEnvironment) -> list[Problem]:
    """Find what is wrong with the judges of a set."""
    return [
        Problem(
            message=f"judge {spec.kind}: {message}",
            where=Location(path=spec.path, line=spec.line) if spec.path else None,
        )
        for spec in specs
        for message in _find_kind(spec).check(spec, surroundings)
    ]


@asynccontextmanager
async def open_judges(
    specs: Sequence[JudgeSpec], surroundings: RunEnvironment
) -> AsyncIterator[tuple[Judge, ...]]:
    """Hold judges ready that have been checked."""
    async with AsyncExitStack() as stack:
        yield tuple(
            [
                await stack.enter_async_context(_find_kind(spec).open(spec, surroundings))
                for spec in specs
            ]
        )


def _find_kind(spec: JudgeSpec) -> JudgeKind:
    return cast("JudgeKind", importlib.import_module(JUDGES[spec.kind]))
