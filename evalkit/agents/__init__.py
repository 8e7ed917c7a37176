"""Call the agent under test: Python functions, commands, HTTP services, chat models, recorded answers."""

__all__ = [
    "anthropic_client",
    "arguments",
    "completion",
    "conversation",
    "cost_budget",
    "endpoint",
    "error_body",
    "fingerprint",
    "http_headers",
    "network_errors",
    "openai",
    "openai_client",
    "python",
    "registry",
    "reply",
    "retry",
    "wrappers",
]
