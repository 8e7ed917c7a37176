"""Call the agent under test: Python functions, commands, HTTP services, chat models, recorded answers."""

__all__ = [
    "arguments",
    "completion",
    "conversation",
    "error_body",
    "fingerprint",
    "http_headers",
    "lane",
    "network_errors",
    "openai_client",
    "paced_agent",
    "pacer",
    "python",
    "rate_limits",
    "registry",
    "reply",
    "retry",
    "wrappers",
]
