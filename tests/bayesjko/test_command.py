"""Exit codes, sentences and files of every command."""

import errno
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tyro
import xarray as xr

from bayesjko.command import check_folder, run_command, strict_json, write_atomically
from bayesjko.models.errors import InputError, SnapshotError
from bayesjko.netcdf import write_netcdf


@dataclass(frozen=True)
class Options:
    """What the command is for."""

    data: tyro.conf.Positional[str]
    """A file of snapshots."""

    draws: int = 10
    """How many draws."""

    scheme: Literal["explicit", "implicit"] = "explicit"
    """Where the force is taken."""

    internal: bool = True

    def __post_init__(self):
        if self.draws < 1:
            raise InputError(f"The number of draws is {self.draws}; give at least 1.")


def run(*arguments, action=lambda options: None):
    return run_command("bayesjko.fit", Options, action, list(arguments))


def test_options_reach_the_action():
    seen = []
    assert run("a.csv", "--draws", "3", "--no-internal", action=seen.append) == 0
    assert seen == [Options("a.csv", 3, "explicit", internal=False)]


def test_the_command_line_is_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bayesjko.fit", "b.csv"])
    seen = []
    assert run_command("bayesjko.fit", Options, seen.append) == 0
    assert seen[0].data == "b.csv"


def test_the_action_chooses_its_code():
    assert run("a.csv", action=lambda options: 3) == 3


def test_help_is_no_error(capsys):
    assert run("--help") == 0
    shown = capsys.readouterr()
    assert "What the command is for." in shown.out
    assert "How many draws." in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["a", "--draws", "x"],
            "Error parsing --draws: invalid literal for int() with base 10: 'x'",
        ),
        (["a", "--drawz", "3"], "Unrecognized options: --drawz, 3; Perhaps you meant: --draws INT"),
        (["a", "--scheme", "b"], "invalid choice 'b' for argument '--scheme'. Expected one of"),
        (["a", "b"], "Unrecognized options: b"),
        ([], "A file of snapshots. (required)"),
        (["a", "--draws"], "Missing value for argument '--draws'"),
        (["a", "--draws", "-1"], "fit: The number of draws is -1; give at least 1; see"),
    ],
    ids=lambda value: None,
)
def test_options_that_do_not_parse(arguments, words, encoding, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    called = []
    assert run(*arguments, action=called.append) == 2
    shown = capsys.readouterr()
    assert called == []
    assert shown.out == ""
    assert shown.err.startswith("bayesjko.fit: ")
    assert shown.err.endswith("; see bayesjko.fit --help.\n")
    assert shown.err.count("\n") == 1
    assert not set(shown.err) & set("│─╭╮╰╯\x1b")
    assert words in shown.err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SnapshotError("Found 1 snapshot; give two."), "Found 1 snapshot; give two."),
        (InputError("No basis\n  'x'."), "No basis 'x'."),
        (FileNotFoundError(2, "No such file or directory", "a.nc"), "Cannot use 'a.nc': No such"),
        (PermissionError(13, "Permission denied", "a.nc"), "Cannot use 'a.nc': Permission denied."),
        (OSError(28, "No space left on device"), "Cannot use: No space left on device."),
        (MemoryError(), "There is not enough memory for this; ask for less at a time."),
    ],
    ids=lambda value: None,
)
def test_what_a_user_can_mend_is_one_sentence(error, words, capsys):
    def action(options):
        raise error

    assert run("a.csv", action=action) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"bayesjko.fit: {words}")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), OSError("a bug"), ZeroDivisionError("a bug")]
)
def test_a_bug_keeps_its_traceback(error):
    def action(options):
        raise error

    with pytest.raises(type(error), match="a bug"):
        run("a.csv", action=action)


def test_an_interruption_leaves_no_file(tmp_path, capsys):
    def action(options):
        with write_atomically(tmp_path / "a.nc") as fresh:
            fresh.write_text("half")
            raise KeyboardInterrupt

    assert run("a.csv", action=action) == 130
    assert capsys.readouterr().err == "bayesjko.fit: Interrupted; no half-written file is left.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_reader_who_left_is_no_traceback(monkeypatch, capsys):
    unread, end = os.pipe()
    os.close(unread)
    with os.fdopen(end, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert run("a.csv", action=lambda options: print("line")) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_a_file_appears_whole(tmp_path):
    target = tmp_path / "a.nc"
    target.write_text("old")
    with write_atomically(target) as fresh:
        assert fresh.name == "a.nc"
        fresh.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
    reference = tmp_path / "reference"
    reference.write_text("")
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(reference.stat().st_mode)


def test_a_failure_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.nc"
    target.write_text("old")

    def fail():
        with write_atomically(target) as fresh:
            fresh.write_text("half")
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_the_file_and_leaves_the_old_one(number, tmp_path):
    target = tmp_path / "a.nc"
    target.write_text("old")

    def fill():
        with write_atomically(target) as fresh:
            fresh.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(InputError, match=f"Cannot write '{target}': .*; make room"):
        fill()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_netcdf_on_a_full_disk_is_an_error_like_any_other(tmp_path):
    """Written by HDF5 itself it ends the process."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    data = xr.Dataset({"x": ("n", np.zeros(10_000))})
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_netcdf(data, tmp_path / "a.nc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_folders_are_looked_at_and_left_as_they_are(tmp_path):
    (tmp_path / "file").write_text("")
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "newer")
    with pytest.raises(InputError, match="Cannot write to the folder '.*file/a': Not a directory"):
        check_folder(tmp_path / "file" / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_json_is_what_every_parser_reads():
    found = {"a": [1.5, float("nan")], "b": {"c": (float("inf"), None)}, "d": "NaN", "e": True}
    assert (
        strict_json(found) == '{"a": [1.5, null], "b": {"c": [null, null]}, "d": "NaN", "e": true}'
    )


def make_store(path: Path, content: str) -> None:
    path.mkdir()
    (path / ".zgroup").write_text("{}")
    (path / content).write_text(content)


def test_a_store_is_replaced_whole_and_kept_at_a_failure(tmp_path):
    target = tmp_path / "a.zarr"
    for content in ("first", "second"):
        with write_atomically(target) as fresh:
            make_store(fresh, content)
        assert sorted(file.name for file in target.iterdir()) == [".zgroup", content]
    with pytest.raises(FileNotFoundError), write_atomically(target):
        pass  # nothing written
    assert (target / "second").exists()
    assert list(tmp_path.iterdir()) == [target]


def test_places_that_cannot_be_written_fail_before_the_work(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("dear")
    for path, words in [
        (tmp_path / "none" / "a.nc", "there is no directory '.*none'; make it"),
        (tmp_path / "folder", "it is a directory; choose another name"),
        (Path(os.devnull), "it is a device; choose another name"),
        (tmp_path / ("a" * 300), "File name too long; choose another"),
    ]:
        with pytest.raises(InputError, match=words), write_atomically(path):
            pytest.fail("the work began")
    assert (tmp_path / "folder" / "thesis.tex").exists()
