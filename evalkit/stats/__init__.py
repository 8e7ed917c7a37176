"""Exact tests, intervals and power calculations, on numpy alone."""

__all__ = [
    "agreement",
    "allotment",
    "association",
    "change_points",
    "clustered",
    "distributions",
    "exchange_test",
    "group_sequential",
    "intervals",
    "multiplicity",
    "pass_counts",
    "power",
    "ppi",
    "sample_size",
    "sampled_mean",
    "score_exchange_test",
    "sign_flip_test",
    "sign_test",
    "unchanged",
]
