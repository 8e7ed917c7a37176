"""Reports as HTML pages that stand alone: no network, a strict policy, data that is never markup."""
