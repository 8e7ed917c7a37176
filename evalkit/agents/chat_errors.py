"""Turn a failed exchange with a chat endpoint into the AgentError that says what kind of failure it is.

Agents and judges share this classification. Endpoints use one status for several failures, so codes and
words count more than the status; `evalkit/agents/error_body.py` finds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evalkit.agents.error_body import ErrorBody
from evalkit.agents.network_errors import RETRYABLE_STATUSES, TRANSIENT_STATUSES
from evalkit.core.limits import MAX_DETAIL_CHARS
from evalkit.core.safe_text import head, one_line
from evalkit.core.trial import AgentError

MAX_SERVER_MESSAGE_LENGTH = 300

_BODY_REFUSALS = (400, 422)
_ENTRY_STATUSES = (401, 403)
_FAILED_PRECONDITION = "failed_precondition"

_NO_CREDIT_CODES = frozenset(
    {
        "account_suspended",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "budget_exceeded",
        "contract_spend_limit_reached",
        "credit_balance_exhausted",
        "enforced_spend_limit_reached",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_quota",
        "payment_required",
    }
)
_FAILED_GENERATION_CODES = frozenset(
    {"json_validate_failed", "tool_use_failed", "output_parse_failed"}
)
# Not "exceeded your current quota": Gemini says it of every rate limit.
_NO_CREDIT = re.compile(
    r"credit balance|out of credits|(used|consumed) all (available )?credits|spend(ing)? (limit|cap)"
    r"|insufficient[ _](balance|credit|funds|quota)|budget\w* (has been |was |is )?exceeded|exceeded\w* budget"
    r"|over budget|exceeded (your|the) budget|reached your specified api usage limit|negative balance|no credits? left"
    r"|(n[o']t have any|purchase( more)?) credits",
    re.IGNORECASE,
)
_BILLING = re.compile(
    r"\bbilling\b|suspended|payment|prepaid|free trial (has )?ended", re.IGNORECASE
)
_CONTEXT_LENGTH = re.compile(
    r"context[_ ]length|context[_ ](window|size)|prompt is too long|(prompt|input|request) (is )?too (long|large)"
    r"|too many (input |prompt )?tokens|exceed\w* (the |your )?(model'?s )?(max(imum)? )?(input|context|prompt)"
    r"|input length and `?max_tokens|tokens? (count )?exceeds|max(imum)? (input|prompt) (length|tokens)"
    r"|(prompt|input)\b.{0,60}\b(exceeds?|longer than)\b.{0,60}\btokens?|reduce the length of"
    r"|`?inputs?`? (tokens\b.{0,60} must be <|must have (less|fewer) than \d+ tokens)",
    re.IGNORECASE,
)
_CONTENT_FILTER = re.compile(
    r"content_filter|content[ -](management|filter\w*) policy|responsibleaipolicyviolation|moderation"
    r"|content exists risk|(unsafe|sensitive|inappropriate|harmful) content"
    r"|(input|prompt|content|request|message)s?\b.{0,40}\bflagged"
    r"|data_?inspection|safety (system|policy|filter)|prohibited_content|guardrail",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(
    r"invalid_api_key|api_key_invalid|un-?authori[sz]ed|unauthenticated|not authenticated|authentication"
    r"|(api|access|auth|secret|virtual)[ _-]?(key|token)\b.{0,60}?\b(not|invalid|incorrect|wrong|missing|expired"
    r"|revoked|disabled|required|unknown|provided|inactive)"
    r"|(invalid|incorrect|wrong|missing|no|bad|expired|revoked|unknown|malformed)\b.{0,20}?\b(api|access|auth\w*"
    r"|bearer|secret|virtual)?[ _-]?(key|token|credentials?)\b"
    r"|\b(bearer|jwt|security|id) ?token\b|\bjwt\b|validate credentials",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model_not_found|deploymentnotfound|model_decommissioned"
    r"|(unknown|invalid|no such|unsupported|unrecogni[sz]ed|nonexistent) (model|deployment)\b"
    r"|\b(model|deployment|engine)\b.{0,120}?(not (be )?(found|exist|available|supported|recogni[sz]ed|allowed"
    r"|deployed|loaded)|not a valid|n[o']t have access|doesn't exist|isn't (supported|available)|is (invalid|unknown)"
    r"|unknown|(decommission|deprecat|retir|remov)ed|no longer)"
    r"|not a valid model|no such model|model name format|llm provider not provided|no (healthy )?deployments? (is |are )?(available |configured )?for",
    re.IGNORECASE,
)
_MODE_WORD = (
    r"response_format|json[_ ]?(schema|object|mode)|structured[_ ]output|output_config|grammar|guided"
    r"|tool_choice|\btools?\b|\bfunctions?\b|function[_ -]?call|\bstrict\b|\bschema\b"
)
# These words name a mode wherever they are; a server that fails may say "function" of anything.
_MODE_NAME = re.compile(
    r"response_format|json_schema|json_object|structured[_ ]output|output_config|grammar|tool_choice",
    re.IGNORECASE,
)
_MODE = re.compile(_MODE_WORD, re.IGNORECASE)
_MODE_REFUSAL = re.compile(
    rf"constraint_filtered|no endpoints? (found|available)? ?that|(support|accept|allow|enabl|permit|disabl|implement"
    rf"|handle)\w*.{{0,80}}({_MODE_WORD})|({_MODE_WORD}).{{0,80}}(support|accept|allow|enabl|permit|disabl|implement"
    rf"|unavailable|not available)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTarget:
    """What messages say about an endpoint: host, model, and the variable that holds the key."""

    server: str
    model: str
    key_variable: str


def classify_failure(
    status: int,
    said: ErrorBody,
    text: str,
    target: ChatTarget,
    retry_after_s: float | None = None,
) -> AgentError:
    """Return the error of a reply with an error status, or of one of status 2xx with an error in it.

    Kinds: `rate_limited` and `http_status` (conditions of the endpoint), `no_credit`, `auth`,
    `not_found`, `redirect`, `context_length` and `content_filter` (of this request only), `bad_request`
    (a refused part of the request), and `bad_reply` (a failed generation).

    Args:
        status: the HTTP status; for 2xx, the status in the error object counts.
        said: what the body says.
        text: the whole body, for the error's detail.
        target: the endpoint.
        retry_after_s: the wait that the headers ask for, in seconds.
    """
    inner = _choose_status(status, said)
    # A model may be named like a mode ("my-tool"), and a body may quote the request.
    words = f"{said.message or text[:MAX_DETAIL_CHARS]} {' '.join(sorted(said.codes))}"
    words = words.replace(target.model, "MODEL") if len(target.model) > 2 else words
    kind = _find_kind(inner, said, words)
    is_transient = _is_transient(inner, said, kind)
    is_retryable = is_transient or kind == "bad_reply" or _is_worth_an_attempt(inner, kind)
    wait_s = retry_after_s if retry_after_s is not None else said.retry_after_s
    return AgentError(
        kind=kind,
        message=_describe(kind, inner or status, said, target),
        detail=head(text, MAX_DETAIL_CHARS),
        retryable=is_retryable,
        transient=is_transient,
        retry_after_s=wait_s,
    )


def _choose_status(status: int, said: ErrorBody) -> int:
    """Return the status that counts: that of the body behind a success, or behind a bare 400."""
    if 200 <= status < 300:
        return said.status
    # Bedrock and some gateways answer 400 to a wrong key, an unknown model, and too many calls.
    is_known = said.status in (*_ENTRY_STATUSES, 404, *TRANSIENT_STATUSES)
    return said.status if status == 400 and is_known else status


def _find_kind(status: int, said: ErrorBody, words: str) -> str:
    """Return the kind of an error: codes and words first, then the status."""
    checks = (
        ("redirect", 300 <= status < 400),
        ("rate_limited", said.is_retryable or "in_flight_budget_exhausted" in said.codes),
        ("bad_reply", bool(said.codes & _FAILED_GENERATION_CODES)),
        ("no_credit", _is_no_credit(status, said, words)),
        ("context_length", _is_too_long(status, words)),
        ("content_filter", _is_filtered(status, said, words)),
        ("rate_limited", status == 429),
        ("auth", status in _ENTRY_STATUSES or _FAILED_PRECONDITION in said.codes),
        ("bad_request", _is_mode_refused(status, words)),
        ("not_found", status == 404),
    )
    kind = next((kind for kind, applies in checks if applies), "")
    if kind:
        return kind
    if status in (*_BODY_REFUSALS, 0):
        return _find_refusal_kind(status, said, words)
    return "http_status"


def _find_refusal_kind(status: int, said: ErrorBody, words: str) -> str:
    """Return the kind of a 400 or 422, or of an error without a status, by what it is about."""
    if _names_part(said, words):
        return "bad_request"
    if _BAD_KEY.search(words):
        return "auth"
    if _NO_MODEL.search(words):
        return "not_found"
    return "bad_request" if status else "bad_reply"


def _is_mode_refused(status: int, words: str) -> bool:
    if status == 500 and _MODE_NAME.search(words):
        return True
    return status == 501 or (status in (404, 500) and bool(_MODE_REFUSAL.search(words)))


def _is_filtered(status: int, said: ErrorBody, words: str) -> bool:
    if status not in (*_BODY_REFUSALS, 403, 0):
        return False
    return bool(said.reasons or _CONTENT_FILTER.search(words))


def _is_no_credit(status: int, said: ErrorBody, words: str) -> bool:
    if said.codes & _NO_CREDIT_CODES or status == 402:
        return True
    if status == 429:
        is_daily = any("perday" in quota.casefold() for quota in said.quotas)
        return is_daily or bool(_NO_CREDIT.search(words))
    if status == 412:
        return bool(_NO_CREDIT.search(words) or _BILLING.search(words)) or not said.message
    # Gemini's FAILED_PRECONDITION is a region without a free tier, or billing that is off.
    is_billing = _FAILED_PRECONDITION in said.codes and bool(_BILLING.search(words))
    return status in (400, 403, 422, 0) and (is_billing or bool(_NO_CREDIT.search(words)))


def _is_too_long(status: int, words: str) -> bool:
    if status == 413:
        return True
    if status == 429:
        # A request above the limit of tokens per minute never fits.
        return bool(re.search(r"request too large", words, re.IGNORECASE))
    return status in (400, 403, 422, 500, 0) and bool(_CONTEXT_LENGTH.search(words))


def _names_part(said: ErrorBody, words: str) -> bool:
    """Return whether a refusal is about a mode or a parameter, not about the key or the model."""
    named = [field for field in said.fields if field not in ("model", "key", "api_key")]
    return bool(named) or bool(_MODE.search(words)) or "unsupported_parameter" in said.codes


def _is_transient(status: int, said: ErrorBody, kind: str) -> bool:
    if said.is_retryable is not None and kind in ("rate_limited", "http_status"):
        return said.is_retryable
    if kind == "rate_limited":
        return True
    return kind == "http_status" and status in TRANSIENT_STATUSES


def _is_worth_an_attempt(status: int, kind: str) -> bool:
    return kind == "http_status" and (status in RETRYABLE_STATUSES or status > 501)


def _describe(kind: str, status: int, said: ErrorBody, target: ChatTarget) -> str:
    server = target.server
    number = f"HTTP {status}"
    sentences = {
        "redirect": f"{server} redirects. Write the final URL as 'base_url'.",
        "auth": f"{server} refused the key in {target.key_variable} ({number}).",
        "not_found": f"{server} has no model {target.model!r} or no such path for the key in {target.key_variable} ({number}).",
        "no_credit": f"{server} reports that the account has no credit left ({number}).",
        "context_length": f"the request is too long for the model at {server} ({number}).",
        "content_filter": f"a content filter at {server} refused the request ({number}).",
    }
    what = f"answered {number}" if status >= 400 else "sent an error in place of a completion"
    sentence = sentences.get(kind, f"{server} {what}.")
    reason = one_line(said.message, MAX_SERVER_MESSAGE_LENGTH)
    return f"{sentence} It said: {reason!r}." if reason else sentence


def is_context_length_text(text: str) -> bool:
    """Return whether a text reports that the input is too long for a model."""
    return bool(_CONTEXT_LENGTH.search(text))
