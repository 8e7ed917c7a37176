"""A set to what removes the values of the variables that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evalkit.agents.variables import list_variables
from evalkit.core.eval_set import EvalSet
from evalkit.core.redaction import Redactor


def build_redactor(evalset: EvalSet, environ: Mapping[str, str]) -> Redactor:
    """Return what removes secrets: of variables with secret names, and of those that the set names."""
    return Redactor(environ, frozenset(_list_names(evalset)))


def _list_names(evalset: EvalSet) -> Iterator[str]:
    if evalset.agent is not None:
        yield from (variable.name for variable in list_variables(evalset.agent))
    for judge in evalset.judges:
        yield from (variable.name for variable in list_variables(judge))
    for metric in (*evalset.metrics, *(each for case in evalset.cases for each in case.metrics)):
        names = metric.args.get("env")
        if isinstance(names, list | tuple):
            yield from map(str, names)
