"""Listen on a port of loopback, where no other computer can connect."""

from __future__ import annotations

import errno
import socket

from evalkit.core.errors import InvalidInput
from evalkit.core.files import os_error_reason

_TRIES = 20


def open_sockets(port: int | None) -> list[socket.socket]:
    """Listen on a port of 127.0.0.1 and, where it exists, of ::1; return the sockets, IPv4 first.

    Args:
        port: the port; None for any that is free on both.

    Raises:
        InvalidInput: the port is in use, or this user may not have it.
    """
    for _ in range(_TRIES):
        try:
            found = [_listen(socket.AF_INET, "127.0.0.1", port or 0)]
            actual = found[0].getsockname()[1]
            try:
                found.append(_listen(socket.AF_INET6, "::1", actual))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    found[0].close()
                    raise
                # This machine has no IPv6.
            return found
        except OSError as error:
            if port is not None or error.errno != errno.EADDRINUSE:
                reason = os_error_reason(error)
                advice = "Choose another one, or leave out --port for any that is free."
                name = f"--port {port}" if port is not None else "127.0.0.1"
                raise InvalidInput.single(f"{name}: {reason}. {advice}") from error
    raise InvalidInput.single("no port is free on loopback. Close other programs, and try again.")


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(64)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
