"""Call the agent under test: Python functions, commands, HTTP services, chat models, recorded answers."""

__all__ = [
    "arguments",
    "chat_content",
    "chat_errors",
    "completion",
    "conversation",
    "error_body",
    "fingerprint",
    "http_headers",
    "network_errors",
    "openai_client",
    "python",
    "refused_fields",
    "registry",
    "reply",
    "retry",
    "wrappers",
]
