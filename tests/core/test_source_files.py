"""Files are read only from inside the project, only when they are files, and nothing waits."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalkit.core.source_files import UnreadableFile, display_path, read_file, resolve_inside

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a file, beside one that is none of its business."""
    folder = tmp_path / "project" / "sets"
    folder.mkdir(parents=True)
    (folder.parent / "cases.csv").write_text("id,input\na,x\n")
    (tmp_path / "secret.csv").write_text("id,input\nsecret,x\n")
    return folder.parent


@pytest.mark.parametrize("name", ["../cases.csv", "./../cases.csv", "../sets/../cases.csv", "link"])
def test_a_file_in_the_project_is_found_from_the_folder_that_names_it(
    root: Path, name: str
) -> None:
    (root / "sets" / "link").symlink_to("../cases.csv")
    path = resolve_inside(name, root / "sets", root)
    assert path == (root / "cases.csv").resolve()
    assert read_file(path) == b"id,input\na,x\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../secret.csv", "is outside of the project"),
        ("../../project-2/cases.csv", "is outside of the project"),
        ("link", "is outside of the project"),
        ("folder/secret.csv", "is outside of the project"),
        ("/etc/passwd", "is an absolute path"),
        ("/dev/zero", "is an absolute path"),
        ("zero", "is outside of the project"),
        ("nul\0", "is not a path"),
    ],
)
def test_a_file_outside_of_the_project_is_not_opened(root: Path, name: str, words: str) -> None:
    (root / "sets" / "link").symlink_to("../../secret.csv")
    (root / "sets" / "folder").symlink_to("../..")
    (root / "sets" / "zero").symlink_to("/dev/zero")
    with pytest.raises(UnreadableFile, match=words):
        resolve_inside(name, root / "sets", root)


def test_a_link_to_itself_is_no_file(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    with pytest.raises(UnreadableFile, match=r"is not a path|cannot be read"):
        read_file(resolve_inside("loop", root, root))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fsencode(path))


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_folder, "is a folder, not a file"),
        (os.mkfifo, "is a named pipe, not a file"),
        (make_socket, "cannot be read"),
    ],
)
def test_what_is_no_file_is_neither_read_nor_waited_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("thing"))
    with pytest.raises(UnreadableFile, match=words):
        read_file(tmp_path / "thing")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_no_file(device: str) -> None:
    with pytest.raises(UnreadableFile, match=r"is a device, not a file|cannot be read"):
        read_file(Path(device))


def test_what_waits_in_a_pipe_stays_there(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    try:
        os.write(writer, b"data")
        with pytest.raises(UnreadableFile):
            read_file(pipe)
        assert os.read(reader, 10) == b"data"
    finally:
        os.close(reader)
        os.close(writer)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Someone whom permissions bind, also where the tests are run by root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_permission_is_said_to_be_so(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "private.csv"
    path.write_text("x")
    path.chmod(0)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(UnreadableFile, match=re.escape("cannot be read: Permission denied.")):
        read_file(path)


def test_a_missing_file_is_told_from_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "support.yaml").touch()
    with pytest.raises(
        UnreadableFile, match=re.escape("does not exist; did you mean 'support.yaml'?")
    ):
        read_file(tmp_path / "suport.yaml")
    with pytest.raises(UnreadableFile, match=r"does not exist\.$"):
        read_file(tmp_path / "nowhere" / "x.yaml")


def test_a_file_over_the_cap_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(2**20))
    assert len(read_file(path, 2**20)) == 2**20
    os.truncate(path, 2**20 + 1)
    with pytest.raises(UnreadableFile, match="is larger than 1 MiB"):
        read_file(path, 2**20)
    os.truncate(path, 2**40)
    with pytest.raises(UnreadableFile, match="is larger than 64 MiB"):
        read_file(path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = set(Path("/dev/fd").iterdir())
    for path in (tmp_path, tmp_path / "missing", Path("/dev/null"), Path(__file__)):
        try:
            read_file(path)
        except UnreadableFile:
            continue
    assert set(Path("/dev/fd").iterdir()) == before


def test_a_path_is_shown_as_the_user_would_type_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path)
    assert display_path(Path("here/../here/set.yaml")) == "here/set.yaml"
    assert display_path(tmp_path / "link" / "set.yaml") == "link/set.yaml"
    monkeypatch.chdir(tmp_path / "here")
    assert display_path(Path("../set.yaml")) == "../set.yaml"
    assert display_path(tmp_path / "set.yaml") == str(tmp_path / "set.yaml")


def test_a_path_is_shown_where_the_current_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert display_path(Path("set.yaml")) == "set.yaml"
