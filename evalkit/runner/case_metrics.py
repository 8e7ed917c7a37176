"""The metrics that apply to each case of an eval set, and the defaults of a set that names none."""

from __future__ import annotations

from evalkit.core.eval_set import Case, EvalSet, MetricSpec, Rule
from evalkit.evalset.keys import CRITERIA

DEFAULT_METRICS = (MetricSpec(ref="exact_match", name="exact_match"),)
"""The metrics of a set without `metrics:`."""

DEFAULT_GATE = (Rule(must_pass=()),)
"""The gate of a set without `gate:`: every case must pass."""


def effective_metrics(evalset: EvalSet, case: Case) -> tuple[MetricSpec, ...]:
    """Return the metrics of one case: the set's, replaced or extended by the case's own.

    In a set without `metrics:`, a case's own metrics replace the default metric, and its `criteria:`
    are added to it.
    """
    own = {spec.name: spec for spec in case.metrics}
    shared = evalset.metrics or (() if own.keys() - {CRITERIA} else DEFAULT_METRICS)
    wanted = [spec for spec in shared if not spec.tags or set(spec.tags) & set(case.tags)]
    replaced = [own.pop(spec.name, spec) for spec in wanted]
    return (*replaced, *own.values())
