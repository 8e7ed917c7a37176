"""Plan a run, call the agent, score its outputs and store every trial."""

__all__ = [
    "agent_prices",
    "cache_trust",
    "call_bound",
    "case_metrics",
    "execute",
    "looks",
    "output_scores",
    "plan",
    "preflight",
    "records",
    "scheduler",
    "signals",
    "unjudged_labels",
]
