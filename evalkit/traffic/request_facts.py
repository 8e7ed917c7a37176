"""Join requests with feedback and with what their users did next: the table `facts`.

| column | of a request |
| --- | --- |
| request_id, ts, day, version, variant, model, environment, tools, session, error_type | as stored |
| cluster, cluster_by | a hash of the user, else of the session, else of the request; and which of them |
| weight, is_sampled | the number of requests that it represents: 1 / `sampling_p`, and whether that is known |
| incomplete | a trace without its root |
| mixed | its session has requests of several versions |
| ok, failed | as stored, and the opposite |
| input_tokens, output_tokens, cost_usd | as stored, with those of its failed attempts |
| escalated | whether it or one of its failed attempts was |
| resolved | as stored |
| latency_s, time_to_first_token_s | in seconds; of traces with their root only |
| good, rated | the last rating of a user, of its failed attempts too, and whether there is one |
| rephrased, objected, abandoned | what the user did next; NULL if unknown |
| has_pii, has_secrets | the answer has a redacted value that the request has not |

Follow-up signals need a conversation: a session, or requests of a user without a session of which each
starts at most `IDLE_MINUTES` after the one before. They are unknown for requests so close to the end of
the stored traffic that the next one might be missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from evalkit.core.errors import InvalidInput
from evalkit.traffic.table import quote_name, quote_text

if TYPE_CHECKING:
    import duckdb

MATURITY_HOURS = 72.0
"""Feedback counts if it came at most so long after its request, so that all requests had equally long."""

RETRY_SECONDS = 10
"""A failed request is an attempt, and not counted, if its client repeats it within this time, and the same
version and variant answers. The failure of a version that another one made good counts."""

REPHRASE_MINUTES = 5
"""A question is asked again if a similar one follows within this time (Hassan et al. 2013)."""

IDLE_MINUTES = 30
"""After so long without a request, a user who has no session begins a new conversation."""

MIN_SIMILARITY = 65
"""Questions are similar from this token sort ratio of rapidfuzz on (0 to 100: the share of the characters
that stay in place, once the words are sorted), if they also name the same numbers. Of all pairs of different
questions in the example set `support`, 1 in 850 is as similar."""

COMPARED_CHARS = 300
"""Characters of a question that are compared."""

OBJECTION = (
    r"^\W{0,3}(?:(?:no|nope|nein|non|nee)\b[,.! ]+)?(?:"
    # English
    r"(?:that|this|it|you|your answer)(?:'s| is|'re| are| was)? ?(?:just |still |simply |completely )?"
    r"(?:wrong|incorrect|false|not (?:right|correct|true|what i))"
    r"|(?:that|this|it) (?:doesn'?t|does not|didn'?t|did not) (?:work|help|answer)"
    r"|(?:you )?(?:misunderstood|didn'?t understand|don'?t understand|did not understand|are mistaken)"
    r"|i (?:didn'?t|did not) (?:ask|mean|want)|not what i (?:asked|meant|wanted)|wrong\b"
    # German
    r"|(?:das|dies|es) (?:ist|war|stimmt) (?:doch |leider |so )?(?:falsch|nicht (?:richtig|wahr|korrekt)|nicht\b)"
    r"|das (?:hilft|funktioniert|geht|meinte ich) (?:mir |so |leider )?nicht|falsch\b|stimmt nicht"
    # French
    r"|c'est (?:faux|incorrect|pas (?:vrai|correct|juste|ça))|ce n'est pas (?:vrai|correct|juste|ce que)"
    # Spanish
    r"|(?:eso |esto )?(?:no es (?:correcto|cierto|lo que)|est(?:á|a) mal|es (?:incorrecto|falso))"
    r")"
)
"""What an objection begins with, in lower case: English, German, French, and Spanish."""

_ATTRIBUTE = re.compile(r"\w[\w.:/-]{0,99}")

_PERSONAL = "<(?:email|phone|card|iban|national_id):[0-9a-f]{12}>"
_HIDDEN = "<secret:[0-9a-f]{12}>"

_MACROS = (
    "numbers(t) as list_sort(list_distinct(regexp_extract_all(t, '[0-9]+')))",
    """
    has_new(answer, question, pattern) as len(list_filter(
        regexp_extract_all(answer, pattern),
        lambda token: not contains(coalesce(question, ''), token))) > 0
    """,
)

_RATINGS = """
with aimed as (
    select coalesce(f.request_id, arg_max(r.request_id, r.ts)) as request_id, f.feedback_id,
        any_value(f.ts) as ts, any_value(f.good) as good
    from feedback f left join requests r
        on f.request_id is null and f.session = r.session and r.ts <= coalesce(f.ts, r.ts)
    where f.good is not null and coalesce(f.source, 'user') = 'user'
    group by f.feedback_id, f.request_id
)
select a.request_id, arg_max(a.good, coalesce(a.ts, r.ts)) as good
from aimed a join requests r on a.request_id = r.request_id
where a.ts is null or a.ts <= r.ts + to_seconds($maturity_s)
group by a.request_id
"""
"""The last rating of each request; one of a session counts for its last request before."""

_TURNS = f"""
with base as (
    select request_id, ts, day, version, variant, model, environment, tools, session,
        ok, error_type, escalated, resolved, input_tokens, output_tokens, cost_usd, input_hash,
        coalesce(incomplete, false) as incomplete,
        latency_ms / 1000 as latency_s, ttft_ms / 1000 as time_to_first_token_s,
        coalesce('u' || "user", 's' || session, 'r' || request_id) as who,
        coalesce('s' || session, 'u' || "user") as conversation,
        case when "user" is not null then 'user' when session is not null then 'session'
            else 'request' end as cluster_by,
        case when sampling_p > 0 and sampling_p <= 1 then 1 / sampling_p else 1 end as weight,
        sampling_p is not null as is_sampled,
        lower(left(input, {COMPARED_CHARS})) as asked,
        case when output is null or not list_contains($redacted, import_id) then null
            when contains(output, '<') then has_new(output, input, '{_PERSONAL}')
            else false end as has_pii,
        case when contains(output, '<secret:') then has_new(output, input, '{_HIDDEN}')
            when output is not null then false end as has_secrets
        {{more}}
    from requests r
)
select *,
    lead(ts) over turns as next_ts,
    lead(asked) over turns as next_asked,
    lead(input_hash) over turns as next_hash,
    lead((version, variant)) over turns as next_arm,
    session is not null and min(version) over whole is distinct from max(version) over whole as mixed
from base
window turns as (partition by coalesce(conversation, who) order by ts, request_id),
    whole as (partition by coalesce(conversation, who))
"""  # noqa: S608 - of constants
"""Each request with the next one of its conversation."""

_FOLLOWS = f"next_ts - ts <= interval {REPHRASE_MINUTES} minute"
_CANDIDATES = f"""
select rowid as place, asked, next_asked from turns
where {_FOLLOWS} and next_hash <> input_hash and numbers(asked) = numbers(next_asked)
"""  # noqa: S608 - of constants
"""Questions that may be similar to the next one."""

_ATTEMPTS = f"""
with signals as (
    select *,
        next_ts - ts as gap,
        case
            when conversation is null or asked is null then null
            when {_FOLLOWS} and (next_hash = input_hash or rowid in (from asked_again)) then true
            when {_FOLLOWS} then false
            when ts > $last - interval {REPHRASE_MINUTES} minute then null
            else false
        end as rephrased,
        case
            when conversation is null then null
            when next_ts - ts <= interval {IDLE_MINUTES} minute and next_asked is not null
                then regexp_matches(next_asked, {quote_text(OBJECTION)})
            when ts > $last - interval {IDLE_MINUTES} minute then null
            else false
        end as objected,
        coalesce(ok = false and next_hash = input_hash
            and next_ts - ts <= interval {RETRY_SECONDS} second
            and next_arm is not distinct from (version, variant), false) as is_retried
    from turns
),
rated as (
    select signals.*, good, count(*) filter (where not is_retried) over (
        partition by coalesce(conversation, who) order by ts, request_id
        rows between current row and unbounded following) as chain
    from signals left join ratings using (request_id)
)
select s.* exclude (
        who, conversation, asked, next_ts, next_asked, next_hash, next_arm, input_hash, gap, chain)
    replace (
        case when count(cost_usd) over chained = count(*) over chained
            then sum(cost_usd) over chained end as cost_usd,
        case when count(input_tokens) over chained = count(*) over chained
            then (sum(input_tokens) over chained)::bigint end as input_tokens,
        case when count(output_tokens) over chained = count(*) over chained
            then (sum(output_tokens) over chained)::bigint end as output_tokens,
        bool_or(escalated) over chained as escalated,
        arg_max(good, ts) over chained as good),
    hash(who) as cluster, not ok as failed, arg_max(good, ts) over chained is not null as rated,
    case
        when conversation is null or ts > $last - interval {IDLE_MINUTES} minute
            or gap <= interval {IDLE_MINUTES} minute or (session is not null and gap is not null) then null
        when ok = false then true
        when lag(rephrased or objected) over turns then true
        when ok is not null then false
    end as abandoned
from rated s
window turns as (partition by coalesce(conversation, who) order by ts, request_id),
    chained as (partition by coalesce(conversation, who), chain)
"""  # noqa: S608 - of constants
"""Each request with what its attempts cost and led to; a cost is unknown if that of one attempt is."""


def create_facts(
    connection: duckdb.DuckDBPyConnection,
    *,
    redacted: Collection[str],
    condition: str = "true",
    attributes: Sequence[str] = (),
    maturity_h: float = MATURITY_HOURS,
) -> int:
    """Create the temporary table `facts` of an open store, and return how many attempts are not counted.

    Args:
        connection: from `open_traffic`.
        redacted: the ids of the imports that replaced personal data.
        condition: SQL over the columns of `facts`; other requests are left out.
        attributes: attributes of spans that become columns, named by `name_attribute`.
        maturity_h: hours after a request for which its feedback counts.
    """
    names = [quote_name(name_attribute(name)) for name in attributes]
    columns = [
        f", {_select_attribute(connection, attribute, number)} as {name}"
        for number, (attribute, name) in enumerate(zip(attributes, names, strict=True))
    ]
    more = "".join(columns)
    for macro in _MACROS:
        connection.execute(f"create or replace temp macro {macro}")
    connection.execute(
        f"create or replace temp table ratings as {_RATINGS}", {"maturity_s": maturity_h * 3600}
    )
    last = connection.execute("select max(ts) from requests").fetchone()
    connection.execute(
        f"create or replace temp table turns as {_TURNS.replace('{more}', more)}",
        {"redacted": list(redacted)},
    )
    _find_repeated(connection)
    connection.execute(
        f"create or replace temp table attempts as {_ATTEMPTS}", {"last": last and last[0]}
    )
    connection.execute("drop table turns")
    for table, is_retried in (("facts", "not is_retried"), ("retried", "is_retried")):
        connection.execute(
            f"create or replace temp view {table} as select * from attempts "  # noqa: S608
            f"where {is_retried} and ({condition})"
        )
    found = connection.execute("select count(*) from retried").fetchone()
    return int(found[0]) if found else 0


def _find_repeated(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table `asked_again`: the places in `turns` of questions that are similar to the next one."""
    found = connection.execute(_CANDIDATES).fetchnumpy()
    places: list[int] = []
    if found["place"].size:
        from rapidfuzz import fuzz, process, utils  # noqa: PLC0415 - only where questions follow

        scores = process.cpdist(
            found["asked"],
            found["next_asked"],
            scorer=fuzz.token_sort_ratio,
            processor=utils.default_process,
        )
        places = [int(place) for place in found["place"][scores >= MIN_SIMILARITY]]
    connection.execute(
        "create or replace temp table asked_again as select unnest($1::bigint[])", [places]
    )


def name_attribute(name: str) -> str:
    """Return the column of `facts` that has an attribute of spans.

    Raises:
        InvalidInput: it is no name of an attribute.
    """
    if not _ATTRIBUTE.fullmatch(name):
        raise InvalidInput.single(
            f"{name!r} is no attribute. Name one as spans have it, such as cloud.region."
        )
    return f"attribute {name}"


def _select_attribute(connection: duckdb.DuckDBPyConnection, name: str, number: int) -> str:
    """Return SQL for an attribute of a request: its own, or that of its earliest span that has it."""
    path = quote_text("$." + quote_name(name))
    value = f"json_extract_string(attributes, {path})"
    connection.execute(
        f"create or replace temp table attribute_{number} as select request_id, "  # noqa: S608
        f"arg_min({value}, start_ns) as found from spans where {value} is not null group by 1"
    )
    return (
        f"coalesce({value}, (select a.found from attribute_{number} a "  # noqa: S608
        "where a.request_id = r.request_id))"
    )
