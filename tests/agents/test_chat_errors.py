"""What an error reply of each provider is taken for, by agents and judges alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from evalkit.agents.chat_errors import ChatTarget, classify_failure
from evalkit.agents.error_body import read_error
from evalkit.agents.refused_fields import find_refused_names, is_newer_length_wanted
from evalkit.core.literals import Json
from evalkit.core.serialization import canonical_json
from evalkit.core.trial import AgentError

TARGET = ChatTarget(server="host", model="my-tool-model", key_variable="MY_KEY")
TRANSIENT_KINDS = ("rate_limited", "http_status")


def classify(status: int, body: Json, wait_s: float | None = None) -> AgentError:
    text = body if isinstance(body, str) else canonical_json(body)
    return classify_failure(status, read_error(body), text, TARGET, wait_s)


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": None,
            **more,
        }
    }


def gemini(code: int, message: str, status: str, *details: Json) -> list[Json]:
    return [{"error": {"code": code, "message": message, "status": status, "details": [*details]}}]


def anthropic(kind: str, message: str, **details: Any) -> dict[str, Any]:
    return {
        "type": "error",
        "error": {"type": kind, "message": message, "details": details or None},
    }


def router(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "u"}


def mistral(message: Json, code: Json = None) -> dict[str, Any]:
    return {
        "object": "error",
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": code,
    }


QUOTA = "You exceeded your current quota, please check your plan and billing details."

RETRIED: dict[str, tuple[int, Json]] = {
    **{
        str(status): (status, {"error": {"message": "oops"}})
        for status in (408, 409, 425, 429, 502)
    },
    **{str(status): (status, "<html>Cloudflare</html>") for status in (503, 504, 520, 522, 524)},
    "Anthropic overloaded": (529, anthropic("overloaded_error", "Overloaded")),
    "OpenAI rate": (
        429,
        openai("Rate limit reached for m in organization o", code="rate_limit_exceeded"),
    ),
    "OpenAI slow down": (503, openai("Slow down", code="slow_down")),
    "Gemini rate": (
        429,
        gemini(
            429,
            QUOTA,
            "RESOURCE_EXHAUSTED",
            {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProject"}]},
        ),
    ),
    "Groq capacity": (498, openai("Flex capacity exceeded", code="capacity_exceeded")),
    "Together below the rate": (503, openai("The service is overloaded")),
    "OpenRouter in flight": (402, router(402, "Budget", error_type="in_flight_budget_exhausted")),
    "OpenRouter retryable": (
        404,
        {"error": {"code": 404, "message": "busy", "availability": {"retryable": True}}},
    ),
    "llama.cpp loading": (
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
    ),
    "LiteLLM no deployment": (
        429,
        openai("No deployments available for selected model", type="None", code="429"),
    ),
    "Bedrock throttled": (
        429,
        {"__type": "com.amazon#ThrottlingException", "message": "Too many requests"},
    ),
    "Bedrock throttled by 400": (
        400,
        {"__type": "ServiceQuotaExceededException", "message": "You exceeded the quota"},
    ),
    "Ollama queue": (
        503,
        {"error": "server busy, please try again. maximum pending requests exceeded"},
    ),
    "success with 429": (200, router(429, "Rate limited")),
    "success with 502": (
        200,
        router(502, "Provider disconnected", error_type="provider_unavailable"),
    ),
    "success with a text code": (200, {"error": {"message": "slow", "code": "429"}}),
    "success with a name": (200, {"error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "Anthropic ramp": (
        429,
        anthropic("rate_limit_error", "ramp", error_code="ramp_limit_exceeded"),
    ),
}


@pytest.mark.parametrize("name", RETRIED)
def test_a_condition_of_the_endpoint_passes_and_spends_no_attempt(name: str) -> None:
    error = classify(*RETRIED[name])
    assert error.kind in TRANSIENT_KINDS
    assert (error.retryable, error.transient) == (True, True)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, "oops", "http_status"),
        (500, anthropic("api_error", "Internal server error"), "http_status"),
        (507, "full", "http_status"),
        (
            400,
            openai("Failed to generate JSON.", code="json_validate_failed", failed_generation="x"),
            "bad_reply",
        ),
        (400, openai("Failed to call a function.", code="tool_use_failed"), "bad_reply"),
        (200, {"error": {"message": "something went wrong"}}, "bad_reply"),
        (200, {"error": "something went wrong"}, "bad_reply"),
        (200, router(500, "oops"), "http_status"),
    ],
)
def test_a_failure_of_one_call_is_worth_an_attempt(status: int, body: Json, kind: str) -> None:
    error = classify(status, body)
    assert (error.kind, error.retryable, error.transient) == (kind, True, False)


FINAL: dict[str, tuple[str, int, Json]] = {
    # The key
    "OpenAI key": (
        "auth",
        401,
        openai("Incorrect API key provided: sk-1.", code="invalid_api_key"),
    ),
    "OpenAI country": (
        "auth",
        403,
        openai("Country not supported", code="unsupported_country_region_territory"),
    ),
    "vLLM key": ("auth", 401, {"error": "Unauthorized"}),
    "xAI key": (
        "auth",
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "Incorrect API key provided: k***. You can obtain an API key from https://console.x.ai.",
        },
    ),
    "Gemini key": (
        "auth",
        400,
        gemini(
            400,
            "API key not valid. Please pass a valid API key.",
            "INVALID_ARGUMENT",
            {"reason": "API_KEY_INVALID"},
        ),
    ),
    "Gemini expired key": (
        "auth",
        400,
        gemini(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT"),
    ),
    "LiteLLM key": (
        "auth",
        400,
        openai(
            "Authentication Error, LiteLLM Virtual Key expected. Received=sk-1",
            type="auth_error",
            param="None",
            code="400",
        ),
    ),
    "LiteLLM no key": (
        "auth",
        400,
        openai(
            "Authentication Error, No api key passed in.", type="None", param="None", code="400"
        ),
    ),
    "Anthropic key": ("auth", 401, anthropic("authentication_error", "invalid x-api-key")),
    "a key in a success": (
        "auth",
        200,
        {"error": {"code": 401, "message": "No auth credentials found"}},
    ),
    "Bedrock access": (
        "auth",
        403,
        {"__type": "AccessDeniedException", "message": "You don't have access"},
    ),
    # The model
    "OpenAI model": (
        "not_found",
        404,
        openai(
            "The model `m` does not exist or you do not have access to it.", code="model_not_found"
        ),
    ),
    "OpenRouter model": ("not_found", 400, router(400, "m1 is not a valid model ID")),
    "LiteLLM model": (
        "not_found",
        400,
        openai(
            "Invalid model name passed in model=m1. Call `/v1/models` to view available models for your key.",
            type="None",
            param="None",
            code="400",
        ),
    ),
    "a proxy's model": ("not_found", 400, {"detail": "Model not found: my-tool-model"}),
    "another proxy's model": ("not_found", 422, {"message": "Unknown model my-tool-model"}),
    "Azure deployment": (
        "not_found",
        404,
        openai("The API deployment for this resource does not exist.", code="DeploymentNotFound"),
    ),
    "Ollama model": ("not_found", 404, {"error": "model 'my-tool-model' not found"}),
    "a model that is named like a mode": (
        "not_found",
        404,
        openai("The model `my-tool-model` is not supported."),
    ),
    "a retired model": (
        "not_found",
        400,
        openai(
            "The model `m1` has been decommissioned and is no longer supported.",
            code="model_decommissioned",
        ),
    ),
    "a wrong path": ("not_found", 404, "<html>404</html>"),
    "Mantle path": ("not_found", 404, {"message": "model m1 isn't supported on this route"}),
    # Money
    "402": ("no_credit", 402, {}),
    "OpenAI quota": ("no_credit", 429, openai(QUOTA, code="insufficient_quota")),
    "OpenAI credit": (
        "no_credit",
        429,
        openai("No credit", type="insufficient_quota", code="credit_balance_exhausted"),
    ),
    "Anthropic spend cap": (
        "no_credit",
        429,
        anthropic("rate_limit_error", "limit", error_code="enforced_spend_limit_reached"),
    ),
    "a contract": (
        "no_credit",
        429,
        anthropic("rate_limit_error", "limit", error_code="contract_spend_limit_reached"),
    ),
    "Anthropic own limit": (
        "no_credit",
        400,
        anthropic(
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
        ),
    ),
    "Anthropic credit": (
        "no_credit",
        400,
        anthropic(
            "invalid_request_error", "Your credit balance is too low to access the Anthropic API."
        ),
    ),
    "Gemini per day": (
        "no_credit",
        429,
        gemini(
            429,
            QUOTA,
            "RESOURCE_EXHAUSTED",
            {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
        ),
    ),
    "Gemini billing": (
        "no_credit",
        400,
        gemini(400, "Please enable billing on project in Google AI Studio.", "FAILED_PRECONDITION"),
    ),
    "LiteLLM budget": (
        "no_credit",
        422,
        openai(
            "Budget has been exceeded! Current cost: 1.2, Max budget: 1.0",
            type="budget_exceeded",
            param="None",
            code="422",
        ),
    ),
    "LiteLLM budget at 400": (
        "no_credit",
        400,
        openai("ExceededBudget: User=u over budget.", type="budget_exceeded", code="400"),
    ),
    "Fireworks suspended": (
        "no_credit",
        412,
        {"error": {"message": "Account suspended: unpaid invoices"}},
    ),
    "xAI credits": (
        "no_credit",
        429,
        {
            "code": "Some resource has been exhausted",
            "error": "Your team has used all available credits or reached its monthly spending limit.",
        },
    ),
    # Too long
    "OpenAI length": (
        "context_length",
        400,
        openai(
            "This model's maximum context length is 8192 tokens.",
            code="context_length_exceeded",
            param="messages",
        ),
    ),
    "Anthropic length": (
        "context_length",
        400,
        anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    ),
    "Anthropic size": (
        "context_length",
        413,
        anthropic("request_too_large", "Request exceeds the maximum size"),
    ),
    "nginx size": ("context_length", 413, "<html>413 Request Entity Too Large</html>"),
    "Together length": (
        "context_length",
        403,
        openai(
            "Input token count + `max_tokens` exceeds the model's maximum context length of 8193"
        ),
    ),
    "Gemini length": (
        "context_length",
        400,
        gemini(
            400,
            "The input token count (2000000) exceeds the maximum number of tokens allowed (1048575).",
            "INVALID_ARGUMENT",
        ),
    ),
    "vLLM length": (
        "context_length",
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 5000.",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "llama.cpp length": (
        "context_length",
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error",
                "n_ctx": 4096,
            }
        },
    ),
    "Groq tokens": (
        "context_length",
        413,
        openai(
            "Request too large for model m on tokens per minute (TPM)",
            type="tokens",
            code="rate_limit_exceeded",
        ),
    ),
    "more than a minute's tokens": (
        "context_length",
        429,
        openai(
            "Request too large for m on tokens per min (TPM): Limit 10000, Requested 12000.",
            code="rate_limit_exceeded",
        ),
    ),
    "Bedrock length": (
        "context_length",
        400,
        {"__type": "ValidationException", "message": "Input is too long for requested model."},
    ),
    # Filters
    "Azure filter": (
        "content_filter",
        400,
        openai(
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            type=None,
            param="prompt",
            code="content_filter",
            innererror={"code": "ResponsibleAIPolicyViolation"},
        ),
    ),
    "OpenRouter moderation": (
        "content_filter",
        403,
        router(403, "Your input was flagged", reasons=["violence"]),
    ),
    "OpenRouter guardrail": ("content_filter", 403, router(403, "Refused", patterns=["p"])),
    # Refused parts
    "Gemini seed": (
        "bad_request",
        400,
        gemini(
            400,
            'Invalid JSON payload received. Unknown name "seed": Cannot find field.',
            "INVALID_ARGUMENT",
        ),
    ),
    "Mistral seed": (
        "bad_request",
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "seed"],
                    "msg": "Extra inputs are not permitted",
                }
            ]
        },
    ),
    "OpenAI temperature": (
        "bad_request",
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
            param="temperature",
            code="unsupported_value",
        ),
    ),
    "OpenAI schema": (
        "bad_request",
        400,
        openai(
            "'response_format' of type 'json_schema' is not supported with this model.",
            param="response_format",
        ),
    ),
    "DeepSeek format": ("bad_request", 400, openai("This response_format type is unavailable now")),
    "DeepSeek tool": (
        "bad_request",
        400,
        openai("Thinking mode does not support this tool_choice"),
    ),
    "OpenRouter tools": (
        "bad_request",
        404,
        router(404, 'No endpoints found that support tool use. Try disabling "give_verdict".'),
    ),
    "OpenRouter parameters": (
        "bad_request",
        404,
        {
            "error": {
                "code": 404,
                "message": "No endpoints found that can handle the requested parameters.",
                "availability": {"code": "constraint_filtered", "retryable": False},
            }
        },
    ),
    "an old llama.cpp": (
        "bad_request",
        500,
        {
            "error": {
                "code": 500,
                "message": "response_format type json_schema is not supported",
                "type": "server_error",
            }
        },
    ),
    "llama.cpp": (
        "bad_request",
        501,
        {
            "error": {
                "code": 501,
                "message": "This server does not support tools.",
                "type": "not_supported_error",
            }
        },
    ),
    "Bedrock schema": (
        "bad_request",
        400,
        {"message": "output_config.format: Extra inputs are not permitted"},
    ),
    "unexplained": ("bad_request", 400, openai("No.")),
    "no JSON": ("bad_request", 400, "Bad request"),
    # Named by words or by codes alone
    "Bedrock expired key": (
        "auth",
        400,
        {"__type": "ExpiredTokenException", "message": "The token is expired"},
    ),
    "FastAPI key": ("auth", 422, {"detail": "Could not validate credentials"}),
    "JWT": ("auth", 400, openai("JWT verification failed")),
    "Gemini suspended key": (
        "auth",
        400,
        gemini(403, "The consumer has been suspended.", "PERMISSION_DENIED"),
    ),
    "Gemini region": (
        "auth",
        400,
        gemini(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
    ),
    "LiteLLM provider": (
        "not_found",
        400,
        openai("LLM Provider NOT provided. Pass in the LLM provider.", type="None", code="400"),
    ),
    "Gemini model name": (
        "not_found",
        400,
        gemini(400, "unexpected model name format", "INVALID_ARGUMENT"),
    ),
    "xAI new team": (
        "no_credit",
        403,
        {"code": "no permission", "error": "Your team doesn't have any credits yet."},
    ),
    "LiteLLM user budget": ("no_credit", 400, openai("ExceededBudget: User=x over budget.")),
    "Together input": (
        "context_length",
        403,
        openai("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000"),
    ),
    "text-generation-inference input": (
        "context_length",
        422,
        openai("Input validation error: `inputs` must have less than 4096 tokens. Given: 5000"),
    ),
    "DeepSeek filter": ("content_filter", 400, openai("Content Exists Risk")),
    "Anthropic output filter": (
        "content_filter",
        400,
        anthropic("invalid_request_error", "Output blocked by content filtering policy"),
    ),
    "Zhipu filter": (
        "content_filter",
        400,
        {"error": {"code": "1301", "message": "potentially unsafe or sensitive content"}},
    ),
    # The rest
    "a redirect": ("redirect", 307, ""),
    "a method": ("http_status", 405, ""),
}


@pytest.mark.parametrize("name", FINAL)
def test_what_another_attempt_would_not_change_has_its_kind(name: str) -> None:
    kind, status, body = FINAL[name]
    error = classify(status, body)
    assert (error.kind, error.retryable, error.transient) == (kind, False, False)
    if kind == "auth":
        assert "MY_KEY" in error.message
    if kind == "not_found":
        assert "'my-tool-model'" in error.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (openai("It broke."), "It broke."),
        ([{"error": {"message": "It broke."}}], "It broke."),
        (mistral("It broke."), "It broke."),
        (
            mistral({"detail": [{"loc": ["body", "seed"], "msg": "It broke."}]}),
            "body.seed: It broke.",
        ),
        ({"detail": "It broke."}, "It broke."),
        ({"detail": [{"msg": "It broke."}, {"msg": "Twice."}]}, "It broke.; Twice."),
        ({"code": "x", "error": "It broke."}, "It broke."),
        ({"error": "It broke."}, "It broke."),
        ({"message": "It broke.", "__type": "X"}, "It broke."),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "It broke."}}},
            "Provider returned error It broke.",
        ),
        ({"errors": ["It broke."]}, "It broke."),
        ("It broke.", "It broke."),
        ("<html>It broke.</html>", ""),
        ({"error": {"message": None}}, ""),
        ({"error": None}, ""),
        ([], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_what_an_endpoint_says_is_quoted(body: Json, said: str) -> None:
    assert read_error(body).message == said
    message = classify(400, body).message
    assert (
        message == f"host answered HTTP 400. It said: {said!r}."
        if said
        else "host answered HTTP 400."
    )


@dataclass(frozen=True)
class Refusal:
    body: Json
    names: tuple[str, ...]


REFUSALS = {
    "a param": Refusal(openai("Unsupported.", param="temperature"), ("temperature",)),
    "a text": Refusal(gemini(400, 'Unknown name "seed": Cannot find field.', "X"), ("seed",)),
    "a violation": Refusal(
        gemini(400, "Bad", "X", {"fieldViolations": [{"field": "generation_config.seed"}]}),
        ("seed",),
    ),
    "a location": Refusal(
        {"detail": [{"loc": ["body", "seed"], "msg": "extra", "input": "temperature"}]}, ("seed",)
    ),
    "a location in a message": Refusal(
        mistral({"detail": [{"loc": ["body", "seed"], "msg": "extra"}]}), ("seed",)
    ),
    "a list": Refusal(openai("x does not support parameters: ['seed']", param="None"), ("seed",)),
    "vLLM": Refusal(
        {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'seed')}]"},
        ("seed",),
    ),
    "two": Refusal(openai("temperature and seed are not supported"), ("temperature", "seed")),
    "a list of what is accepted": Refusal(
        openai("Unknown field 'response_format'. Supported parameters are: seed, temperature"), ()
    ),
    "another field": Refusal(openai("seed?", param="response_format"), ()),
    "a longer word": Refusal(openai("seeds of doubt, top_seed"), ()),
    "nothing": Refusal(openai("No."), ()),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_the_parameter_that_is_refused_is_found_wherever_it_is_named(name: str) -> None:
    refusal = REFUSALS[name]
    sent = {"temperature": 0, "seed": 0, "max_tokens": 5, "response_format": {}}
    said = read_error(refusal.body)
    assert find_refused_names(said, sent, ("temperature", "seed", "max_tokens")) == [*refusal.names]


def test_the_newer_name_of_the_length_is_found_in_the_words() -> None:
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    assert is_newer_length_wanted(read_error(openai(words, param="max_tokens")))
    assert is_newer_length_wanted(read_error({"message": words}))
    assert not is_newer_length_wanted(
        read_error(openai("max_tokens is too large", param="max_tokens"))
    )


def test_a_wait_is_read_from_the_body_unless_a_header_names_one() -> None:
    body = gemini(
        429, "Quota", "RESOURCE_EXHAUSTED", {"@type": "google.rpc.RetryInfo", "retryDelay": "58.5s"}
    )
    assert classify(429, body).retry_after_s == 58.5
    assert classify(429, body, 7.0).retry_after_s == 7.0
    assert classify(429, {"error": {"message": "x", "retry_after": 3}}).retry_after_s == 3.0
    assert classify(429, {"error": {"message": "x", "retryDelay": "soon"}}).retry_after_s is None
