"""Call the agent under test: Python functions, commands, HTTP services, chat models, recorded answers."""

__all__ = [
    "anthropic_client",
    "arguments",
    "cached_agent",
    "completion",
    "conversation",
    "cost_budget",
    "endpoint",
    "error_body",
    "fingerprint",
    "http_headers",
    "inputs",
    "network_errors",
    "openai",
    "openai_client",
    "project_files",
    "python",
    "registry",
    "reply",
    "retry",
    "wrappers",
]
