"""Record what an agent's process reads: files, folders, and modules, and whom else it asks.

A cached answer is valid only while all of it is unchanged. Python reports these events to its audit
hooks. It does not report what a C extension opens by itself; the libraries that do so are named.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import stat
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from evalkit.worker.installed import InstalledSoftware
from evalkit.worker.pipe import Pipe, encode

IGNORED_PARTS = ("/.evalkit/", "/__pycache__/")
IGNORED_NAMES = frozenset({".evalkit", "__pycache__"})
"""What evalkit and Python themselves write into a project."""

PROCESS_EVENTS = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system")

NATIVE_LIBRARIES = (
    "MySQLdb", "apsw", "chromadb_rust_bindings", "curl_cffi", "cv2", "duckdb", "faiss", "grpc", "h5py",
    "lancedb", "llama_cpp", "lmdb", "lxml", "netCDF4", "onnxruntime", "plyvel", "polars", "psycopg",
    "psycopg2", "pyarrow", "pycurl", "pyodbc", "safetensors", "sentencepiece", "tantivy", "tokenizers",
    "zmq",
)  # fmt: skip
"""Libraries that open files or connections in C, unseen by Python."""

_IMPORT_SYSTEM = re.compile(r"<frozen importlib|[/_]importlib[/_]|/pkg_resources/")
"""Code that lists every folder in which modules or distributions are searched."""

LINK = "-> "
"""What precedes the target of a link."""

HARMLESS_PROGRAMS = frozenset({"ldconfig", "lsb_release", "uname"})
"""What the standard library runs to describe the system."""


class InputLog:
    """What this process has read so far, and since the last `take`.

    `read` maps a file to its size, its time of modification in nanoseconds and its inode when it was
    first opened; None if it did not exist. `listed` maps a folder to the names in it, `searched` maps a
    folder to the names of modules that were searched there. `written` has files of the process's own, and
    `changed` files that it read first and then wrote. `looked` maps a path that it only looked at to what was
    there: the size of a file, the target of a link, or nothing.
    `programs`, `hosts` and `libraries` name what may read more than is recorded.
    """

    def __init__(self, installed: InstalledSoftware) -> None:
        self._installed = installed
        self._lock = threading.RLock()
        self._states: dict[str, str] = {}
        self._looked: set[str] = set()
        self._listed: set[str] = set()
        self._named: set[tuple[str, str]] = set()
        self._searched: set[tuple[str, str]] = set()
        self._hosts: set[tuple[str, str]] = set()
        self._new: dict[str, Any] = {}
        self._is_stopped = False
        self._handlers: dict[str, Callable[[Sequence[Any]], None]] = {
            "open": self._receive_open,
            "sqlite3.connect": self._receive_sqlite,
            "os.listdir": self._receive_listing,
            "os.scandir": self._receive_listing,
            "subprocess.Popen": self._receive_program,
            "socket.getaddrinfo": self._receive_host,
            "socket.connect": self._receive_address,
            **dict.fromkeys(PROCESS_EVENTS, self._receive_process),
        }

    def start(self) -> None:
        """Record from now on; this cannot be undone."""
        os.register_at_fork(after_in_child=self._stop)
        sys.addaudithook(self._receive)
        sys.meta_path.insert(0, self)  # a finder that finds nothing
        for name in ("stat", "lstat", "access", "readlink"):
            self._watch(name)

    def _stop(self) -> None:
        """Record nothing in a fork: another thread of the parent may hold the lock."""
        self._handlers = {}
        self._is_stopped = True

    def take(self) -> Mapping[str, Any]:
        """Return what is new since the last call; empty if nothing is."""
        for name in NATIVE_LIBRARIES:
            if name in sys.modules:
                self._add("libraries", name)
        with self._lock:
            new, self._new = self._new, {}
            return new

    def _watch(self, name: str) -> None:
        """Record what a function of `os` finds at a path without opening it: it has no audit event."""
        find = getattr(os, name)

        @functools.wraps(find)
        def watched(path: Any, *arguments: Any, **options: Any) -> Any:
            found = None
            try:
                found = find(path, *arguments, **options)
                return found
            finally:
                if not self._is_stopped and not isinstance(path, int) and not options.get("dir_fd"):
                    with suppress(Exception):
                        self._record_look(os.path.abspath(os.fsdecode(path)), found)

        for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if find in known:
                known.add(watched)
        setattr(os, name, watched)

    def _record_look(self, path: str, found: object) -> None:
        """Record the size of a file, the target of a link, or that there is nothing."""
        if path in self._states or path in self._looked:
            return
        if isinstance(found, str | bytes):
            what = f"{LINK}{os.fsdecode(found)}"
        elif described := _describe_file(path):
            what = f"{described[0]} bytes"
        elif described is None or _is_entry(path):
            return
        else:
            what = ""
        with self._lock:
            if path not in self._looked:
                self._looked.add(path)
                if not self._is_ignored(path):
                    self._new.setdefault("looked", {})[path] = what

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Record where a module is searched that is imported for the first time; find nothing."""
        if self._is_stopped:
            return None
        with suppress(Exception):
            last = name.rpartition(".")[2]
            for folder in sys.path if path is None else path:
                if (folder, last) not in self._searched:
                    self._searched.add((folder, last))
                    if os.path.isabs(folder) and not self._is_ignored(folder):
                        with self._lock:
                            self._new.setdefault("searched", {}).setdefault(folder, []).append(last)
        return None

    def _receive(self, event: str, arguments: Sequence[Any]) -> None:
        handler = self._handlers.get(event)
        if handler is not None:
            # Nothing that happens here may become an error of the agent.
            with suppress(Exception):
                handler(arguments)

    def _is_ignored(self, path: str) -> bool:
        folder = f"{path}/"
        return path in self._installed or any(part in folder for part in IGNORED_PARTS)

    def _receive_open(self, arguments: Sequence[Any]) -> None:
        path, _, flags = arguments
        if isinstance(path, int):  # a descriptor
            return
        path = os.path.abspath(os.fsdecode(path))
        access = flags & (os.O_WRONLY | os.O_RDWR)
        if flags & (os.O_TRUNC | os.O_EXCL):
            self._record(path, "produced")
        elif access == os.O_WRONLY:
            self._record(path, "appended")
        else:
            self._record(path, "read", may_create=bool(flags & os.O_CREAT and access))

    def _record(self, path: str, state: str, *, may_create: bool = False) -> None:
        """Keep how a file was first opened, and note if it was read and then written or the reverse."""
        known = self._states.get(path)
        if known in (state, "produced", "changed", "ignored"):
            return
        with self._lock:
            if known is not None:
                # Read and then written, or appended to and then read.
                self._states[path] = "changed"
                self._new.setdefault("changed", []).append(path)
                return
            found = None if self._is_ignored(path) else _describe_file(path)
            if found is None or (found == [] and may_create):
                self._states[path] = "ignored" if found is None else "produced"
                return
            self._states[path] = state
            if state == "read":
                self._new.setdefault("read", {})[path] = found or None
            else:
                self._new.setdefault("written", []).append(path)

    def _receive_sqlite(self, arguments: Sequence[Any]) -> None:
        name = os.fsdecode(arguments[0])
        if name.startswith("file:"):
            from urllib.parse import unquote  # noqa: PLC0415 - takes 5 ms, and hardly any agent needs it

            name = unquote(name.removeprefix("file:").partition("?")[0])
        if name and name != ":memory:":
            path = os.path.abspath(name)
            self._record(path, "read")
            self._record(f"{path}-wal", "read")

    def _receive_listing(self, arguments: Sequence[Any]) -> None:
        path = "." if arguments[0] is None else arguments[0]
        if isinstance(path, int):
            return
        if _IMPORT_SYSTEM.search(sys._getframe(2).f_code.co_filename):  # noqa: SLF001
            return
        path = os.path.abspath(os.fsdecode(path))
        with self._lock:
            if path in self._listed:
                return
            self._listed.add(path)
            if not self._is_ignored(path):
                names = os.listdir(path) if os.path.isdir(path) else []
                self._new.setdefault("listed", {})[path] = sorted(set(names) - IGNORED_NAMES)

    def _receive_program(self, arguments: Sequence[Any]) -> None:
        program, words, folder, _ = arguments
        given = [words] if isinstance(words, str | bytes) else [program, *words]
        name = os.fsdecode(given[0]).split(" ")[0].rpartition("/")[2]
        if name in HARMLESS_PROGRAMS:
            return
        self._add("programs", name)
        for word in given:
            path = os.path.abspath(os.path.join(os.fsdecode(folder or "."), os.fsdecode(word)))
            if _describe_file(path):
                self._record(path, "read")

    def _receive_process(self, _arguments: Sequence[Any]) -> None:
        self._add("programs", "a process that it starts")

    def _receive_host(self, arguments: Sequence[Any]) -> None:
        host, port, *_ = arguments
        if host is not None and port:
            name = host.decode() if isinstance(host, bytes) else str(host)
            self._hosts.add((name, str(port)))

    def _receive_address(self, arguments: Sequence[Any]) -> None:
        _, address = arguments
        if not isinstance(address, tuple):
            self._add("hosts", os.fsdecode(address))
            return
        host, port = str(address[0]), str(address[1])
        names = {name for name, known in self._hosts if known == port and not _is_numeric(name)}
        for name in names or {host}:
            self._add("hosts", f"[{name}]:{port}" if ":" in name else f"{name}:{port}")

    def _add(self, kind: str, text: str) -> None:
        with self._lock:
            if (kind, text) not in self._named:
                self._named.add((kind, text))
                self._new.setdefault(kind, []).append(text)


_stat, _lstat = os.stat, os.lstat
"""The functions themselves, which record nothing."""


def _is_entry(path: str) -> bool:
    """Return whether there is anything at a path, such as a link to nothing."""
    try:
        _lstat(path)
    except OSError:
        return False
    return True


def _describe_file(path: str) -> list[int] | None:
    """Return size, time of modification and inode; empty if there is no file, None if it is special."""
    try:
        found = _stat(path)
    except OSError:
        return []
    if not stat.S_ISREG(found.st_mode):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _is_numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, host)
            return True
    return False


class InputPipe(Pipe):
    """A pipe that sends what the process has read before each line that could follow from it."""

    def __init__(self, pipe: Pipe, base: Path, root: Path) -> None:
        self._pipe = pipe
        self._log = InputLog(InstalledSoftware([base, root]))
        self._log.start()

    def send(self, kind: str, call_id: str, duration_s: float, text: str) -> None:
        """Write one whole line, from any thread."""
        if kind in ("ready", "value") and (new := self._log.take()):
            self._pipe.send("inputs", call_id, 0, encode(new))
        self._pipe.send(kind, call_id, duration_s, text)
