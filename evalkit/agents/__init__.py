"""Call the agent under test: Python functions, commands, HTTP services, chat models, recorded answers."""

__all__ = [
    "arguments",
    "completion",
    "conversation",
    "cost_budget",
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
