"""Join requests with feedback and with what their users did next: the table `facts`.

| column | of a request |
| --- | --- |
| request_id, ts, day, version, variant, model, environment, name, tools, error_type, attributes | as stored |
| cluster | a hash of the user, else of the session, else of the request |
| weight | how many requests it stands for: 1 / `sampling_p` |
| mixed | its session has requests of several versions |
| ok, failed | as stored, and the opposite |
| escalated, resolved, input_tokens, output_tokens, cost_usd | as stored |
| latency_s, time_to_first_token_s | in seconds; of traces with their root only |
| good, rated | the last rating of a user, and whether there is one |
| rephrased, objected, abandoned | what the user did next; NULL if unknown |
| has_pii, has_secrets | the answer has a redacted value that the request has not |

Follow-up signals need a conversation: a session, or requests of a user without a session of which each
starts at most `IDLE_MINUTES` after the one before. They are unknown for requests so close to the end of
the stored traffic that the next one might be missing.
"""

from __future__ import annotations

MATURITY_HOURS = 72.0
"""Feedback counts if it came at most so long after its request, so that all requests had equally long."""

RETRY_SECONDS = 10
"""A failed request is an attempt, and not counted, if its client repeats it within this time."""

REPHRASE_MINUTES = 5
"""A question is asked again if a similar one follows within this time (Hassan et al. 2013)."""

IDLE_MINUTES = 30
"""After so long without a request, a user who has no session begins a new conversation."""

MIN_SIMILARITY = 0.5
"""Questions are similar if they share this part of all their groups of three characters (Jaccard index)."""

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

PERSONAL_TOKEN = r"<(?:email|phone|card|iban|national_id):[0-9a-f]{12}>"
SECRET_TOKEN = r"<secret:[0-9a-f]{12}>"
