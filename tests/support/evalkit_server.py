"""Import evalkit once, then fork a process for each command line that arrives on a socket.

A script. Its argument is the file descriptor of the socket. `evalkit_client.py` is the other end.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import evalkit

HEAVY = ("aiohttp", "duckdb", "openai")
"""What evalkit imports only where it is used. To import it anew costs more than most tests."""

LEFT_OUT = ("evalkit.ci.templates", "evalkit.worker")
"""Programs of their own, and what they import. The command line imports what it needs of them."""


def list_modules() -> Iterator[str]:
    """Yield the name of every module that the command line may import."""
    for module in pkgutil.walk_packages(evalkit.__path__, "evalkit."):
        if not module.name.startswith(LEFT_OUT) and not module.name.endswith("__main__"):
            yield module.name


def fork_for_each_request(channel: socket.socket) -> dict[str, Any]:
    """Return the next request in a process of its own, as often as there is one."""
    lines = channel.makefile("rb")
    while True:
        head, descriptors, *_ = socket.recv_fds(channel, 1, 3)
        if not head:
            os._exit(0)
        request = json.loads(lines.readline())
        pid = os.fork()
        if not pid:
            lines.close()
            channel.close()
            for target, descriptor in enumerate(descriptors):
                os.dup2(descriptor, target)
                os.close(descriptor)
            return dict(request)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        channel.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def become(request: dict[str, Any]) -> None:
    """Make this process what `python -m evalkit` would be in the folder and environment."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["evalkit", *request["arguments"]]
    sys.path.insert(0, request["cwd"])
    tempfile.tempdir = None


if __name__ == "__main__":
    del sys.path[0]
    for name in (*HEAVY, *list_modules()):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    become(fork_for_each_request(socket.socket(fileno=int(sys.argv[1]))))
    runpy.run_module("evalkit", run_name="__main__", alter_sys=True)
