"""Files are replaced in one step, or not at all."""

import os
import stat
from pathlib import Path
from unittest.mock import patch

import pytest

from recommender.errors import ExecutorError
from recommender.executors import files


def test_a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "engine.yml"
    path.write_text("old")
    path.chmod(0o640)
    files.replace_text(path, "neu: ä\n")
    assert path.read_bytes() == "neu: ä\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "engine.yml"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    files.replace_text(path, "new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_an_absent_file_reads_as_none_and_can_be_created_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "engine.yml"
    assert files.read_text(path) is None
    files.replace_text(path, "a: 1\n")
    assert files.read_text(path) == "a: 1\n"
    files.remove(path)
    files.remove(path)
    assert not path.exists()


def test_a_symbolic_link_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere", tmp_path / "engine.yml"
    target.write_text("secret")
    link.symlink_to(target)
    for attempt in (lambda: files.read_text(link), lambda: files.replace_text(link, "x")):
        with pytest.raises(ExecutorError, match="is a symbolic link: name the file itself"):
            attempt()
    assert target.read_text() == "secret"
    assert link.is_symlink()


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "engine.yml"
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    for attempt in (lambda: files.read_text(path), lambda: files.replace_text(path, "x")):
        with pytest.raises(ExecutorError, match="is not a regular file"):
            attempt()


def test_a_file_that_is_no_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "engine.yml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(ExecutorError, match="is not UTF-8 text: byte 3 is 0xff"):
        files.read_text(path)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ExecutorError, match="is larger than"):
        files.read_text(path)


@pytest.mark.parametrize("failing", ["fsync", "replace", "fchmod"])
def test_a_failing_disk_leaves_the_old_content_and_no_temporary_file(tmp_path: Path, failing: str) -> None:
    path = tmp_path / "engine.yml"
    path.write_text("old")
    full = OSError(28, "No space left on device")
    with patch.object(files.os, failing, side_effect=full), pytest.raises(ExecutorError, match="No space left"):
        files.replace_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match=r"cannot be written: No such file or directory; nothing was changed"):
        files.replace_text(tmp_path / "gone" / "engine.yml", "x")
