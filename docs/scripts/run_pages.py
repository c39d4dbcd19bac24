"""Runs every page: its Python and its commands, with what they print put below them.

A page's `python` blocks are one program, and `console` blocks are commands of this package, each
after a `$`; both in an empty folder of the page's own. Pictures that they leave there are the
page's. `sh` blocks are only shown. What raises, fails or warns ends the build.
"""

import contextlib
import importlib
import io
import logging
import os
import re
import shlex
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n", re.MULTILINE)
_log = logging.getLogger("mkdocs.hooks.run_pages")
_folders: list[tempfile.TemporaryDirectory[str]] = []


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """The page with its outputs, and its pictures among the site's files."""
    if not _BLOCK.search(markdown):
        return markdown
    _folders.append(tempfile.TemporaryDirectory())
    folder = Path(_folders[-1].name)
    names: dict[str, Any] = {"__name__": "__main__"}
    begun = time.process_time()
    with _working_in(folder):
        told = _BLOCK.sub(lambda block: _told(block, names, page.file.src_uri), markdown)
    _log.info("%s ran in %.1f s of processor time", page.file.src_uri, time.process_time() - begun)
    place = PurePosixPath(page.file.src_uri).parent
    for picture in sorted(folder.rglob("*.png")):
        uri = str(place / picture.relative_to(folder).as_posix())
        files.append(File.generated(config, uri, abs_src_path=str(picture)))
    return told


def on_post_build(**_: Any) -> None:
    """The pages' folders go when the site is there."""
    while _folders:
        _folders.pop().cleanup()


def _told(block: re.Match[str], names: dict[str, Any], page: str) -> str:
    kind, code = block[1], block[2]
    if kind == "python":
        with _printed() as out:
            exec(compile(code, page, "exec"), names)  # noqa: S102
        shown = f"\n\n```{{ .text .output }}\n{out.getvalue()}```" if out.getvalue() else ""
        return block[0] + shown
    pieces = []
    for command in _COMMAND.finditer(code):
        pieces += [command[0], _output_of(command[1].replace("\\\n", " "))]
    return f"```console\n{''.join(pieces)}```"


def _output_of(command: str) -> str:
    """What a command of this package prints, run in this process: a start costs seconds."""
    words = shlex.split(command)
    if words[:2] != ["python", "-m"] or not words[2].startswith("bayesjko."):
        raise ValueError(f"No command of this package: {command}; show others in a block of sh.")
    with _printed() as out:
        status = importlib.import_module(f"{words[2]}.__main__").main(words[3:])
    if status:
        raise RuntimeError(f"{command} ended with {status}.")
    return out.getvalue()


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)  # of libraries, about themselves
            yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _printed() -> Iterator[io.StringIO]:
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        yield out
