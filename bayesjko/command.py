"""The shared face of every command: options in, an exit code and one sentence out."""

from __future__ import annotations

import errno
import gc
import io
import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, TypeVar

from bayesjko.compilation import keep_compiled
from bayesjko.models.errors import InputError

__all__ = [
    "INTERRUPTED",
    "check_ending",
    "check_folder",
    "run_command",
    "strict_json",
    "write_atomically",
]

Options = TypeVar("Options")

REFUSED = 2  # the user's mistake, as every Unix command has it
INTERRUPTED = 130
"""Exit code of a command that was interrupted: 128 + SIGINT."""
UNREAD = 141  # 128 + SIGPIPE
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a writer is told where there is no room
_OBJECTS = 20_000  # made between two looks for those that are no longer used


def run_command(
    name: str,
    options: type[Options],
    action: Callable[[Options], int | None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parses a command's options, acts on them, and gives its exit code.

    What a user can mend (options that do not parse, `InputError`, a file that cannot be read
    or written) becomes one sentence on stderr and code 2; an interruption, code 130. Any other
    exception is a bug and keeps its traceback. What is compiled is kept for the next command.

    Args:
        name: of the program, as messages and help show it.
        options: a dataclass with one field an option, its docstrings the help.
        action: what the command does; None is success.
        arguments: the command line; by default this process's.
    """
    if arguments is None:  # a process of its own
        # What is imported stays, and most of what is compiled: seldom looked through, a short
        # command is done sooner.
        gc.freeze()
        gc.set_threshold(_OBJECTS, 20, 20)
    try:
        parsed = _parse(name, options, arguments)
        keep_compiled()
        code = action(parsed) or 0
        sys.stdout.flush()
        return code
    except InputError as error:
        return _refuse(name, str(error))
    except BrokenPipeError:
        # Who read the output has left; the interpreter must not fail on it again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except OSError as error:
        if error.strerror is None:
            raise
        place = f" '{error.filename}'" if error.filename else ""
        return _refuse(name, f"Cannot use{place}: {error.strerror}.")
    except MemoryError:
        return _refuse(name, "There is not enough memory for this; ask for less at a time.")
    except KeyboardInterrupt as stopped:
        told = str(stopped) or "Interrupted; no half-written file is left."
        print(f"{name}: {told}", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as leaving:  # tyro's, once it has shown the help
        return int(leaving.code or 0)


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to that becomes `path` when the block ends well, and vanishes otherwise.

    It has the same name in a fresh directory beside it, so that a writer sees the right ending,
    and may be made a file or a directory. Entered before long work, it fails before that work.

    Raises:
        InputError: the directory does not exist or cannot be written to, or `path` is a
            directory of something else.
    """
    target = Path(path).expanduser()
    folder = target.parent
    if not folder.is_dir():
        raise InputError(
            f"Cannot write '{target}': there is no directory '{folder}'; make it or choose another."
        )
    try:
        if target.exists() and not target.is_file() and not _is_store(target):
            kind = "directory" if target.is_dir() else "device"
            raise InputError(f"Cannot write '{target}': it is a {kind}; choose another name.")
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=folder))
    except OSError as error:
        raise InputError(
            f"Cannot write '{target}': {error.strerror}; choose another place."
        ) from error
    try:
        fresh = work / target.name
        yield fresh
        if target.is_dir() and fresh.exists():
            target.rename(work / "former")  # a directory is replaced only by moving it away
        os.replace(fresh, target)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise InputError(
            f"Cannot write '{target}': {os.strerror(error.errno)}; make room or choose another "
            "place."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def strict_json(found: Any) -> str:
    """JSON that every parser reads: null for what is no finite number."""

    def known(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: known(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [known(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(known(found), allow_nan=False)


def check_ending(path: Path, endings: Collection[str]) -> str:
    """The ending of a file to write, in small letters: a file is what its name says.

    Raises:
        InputError: it is none of `endings`.
    """
    ending = path.suffix.lower()
    if ending not in endings:
        which = f"{'one of ' if len(endings) > 1 else ''}{', '.join(endings)}"
        raise InputError(f"Cannot write '{path}': its ending must be {which}.")
    return ending


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuses a folder that files could not be written to, before the work; makes nothing.

    Raises:
        InputError: it is something else, or it, or where it would be made, cannot be written to.
    """
    folder = Path(path).expanduser()
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        os.rmdir(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=nearest))
    except OSError as error:
        raise InputError(
            f"Cannot write to the folder '{folder}': {error.strerror}; choose another."
        ) from error


def _parse(name: str, options: type[Options], arguments: Sequence[str] | None) -> Options:
    """The options, or `InputError` with the sentence in the box that tyro draws."""
    import tyro

    told = io.StringIO()
    try:
        with redirect_stderr(told):
            return tyro.cli(options, prog=name, args=arguments)
    except SystemExit as leaving:
        if not leaving.code:
            raise
        sentence = _sentence(told.getvalue()).removeprefix(f"Error parsing {options.__name__}: ")
        raise InputError(f"{sentence}; see {name} --help.") from leaving


def _sentence(box: str) -> str:
    """What a box says, without its frame, its title and its pointer to the help."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [row.strip(" │╭╮╰╯") for row in plain.splitlines()]
    parts: list[list[str]] = [[]]
    for row in rows[1:] or rows:
        if row.startswith(("For full helptext", "Argument helptext")):
            break
        if row.strip("─-"):
            parts[-1].append(row)
        else:
            parts.append([])
    said = [" ".join(part).rstrip(".") for part in parts if part]
    return "; ".join(said)


def _is_store(path: Path) -> bool:
    """Whether a directory is a Zarr store, which may be overwritten as a file is."""
    return any((path / name).exists() for name in ("zarr.json", ".zgroup"))


def _refuse(name: str, sentence: str) -> int:
    print(f"{name}: {' '.join(sentence.split())}", file=sys.stderr)
    return REFUSED
