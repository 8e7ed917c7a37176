"""The table of facts until `facts.py` makes it."""

from __future__ import annotations


def facts_sql(maturity_h: float) -> str:
    """Return SQL for the requests with their ratings."""
    return f"""
    select requests.*, not ok as failed, latency_ms / 1000 as latency_s,
      ttft_ms / 1000 as time_to_first_token_s,
      hash(coalesce('user ' || "user", 'session ' || session, request_id)) as cluster,
      1 / coalesce(sampling_p, 1) as weight,
      ratings.good, ratings.request_id is not null as rated
    from requests left join (
        select feedback.request_id, avg(good::int) >= 0.5 as good
        from feedback join requests as rated using (request_id)
        where good is not null and feedback.source = 'user'
          and feedback.ts <= rated.ts + interval {maturity_h} hour
        group by 1
    ) as ratings using (request_id)
    """  # noqa: S608 - a number
