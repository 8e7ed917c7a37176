"""Call the agent under test: Python functions, commands, HTTP services, chat models, recorded answers."""

__all__ = [
    "arguments",
    "cached_agent",
    "completion",
    "conversation",
    "error_body",
    "fingerprint",
    "http_headers",
    "inputs",
    "network_errors",
    "openai_client",
    "project_files",
    "python",
    "registry",
    "reply",
    "retry",
    "wrappers",
]
