"""The README does what it says: its commands and examples run here and print what it shows.

`make readme` puts into it what they print now.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
GROUPS = ("posterior", "sample_stats", "log_likelihood", "observed_data", "constant_data")
COMMANDS = ("fit", "forecast", "evaluate", "energy", "simulate", "compare", "report")

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?%?")
CLOSE = {"rel": 0.2, "abs": 0.05}  # the method may be mended without a word changing here


@dataclass(frozen=True)
class Step:
    """Something the README runs, and where in it the output stands (nowhere: not shown)."""

    kind: str
    code: str
    shown: tuple[int, int] | None


def steps(text: str) -> Iterator[Step]:
    """Commands after a `$` with what follows them, Python with the block of text after it."""
    blocks = list(BLOCK.finditer(text))
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        kind, body, start = block[1], block[2], block.start(2)
        if kind == "python":
            follows = after is not None and after[1] == "text"
            follows = follows and not text[block.end() : after.start()].strip()
            yield Step(kind, body, after.span(2) if follows else None)
        elif kind == "console":
            prompts = list(re.finditer(r"^\$ ((?:.*\\\n)*.*)\n", body, re.MULTILINE))
            assert prompts, f"no command in {body!r}"
            ends = [*(prompt.start() for prompt in prompts[1:]), len(body)]
            for prompt, end in zip(prompts, ends, strict=True):
                span = (start + prompt.end(), start + end)
                code = prompt[1].replace("\\\n", " ")
                yield Step(kind, code, span if span[0] < span[1] else None)


def run(step: Step, folder: Path, shown: str) -> str:
    """What a step prints; `cat FILE` gives a file what the README shows of it."""
    if step.kind == "python":
        with printed() as out, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # either ArviZ announces the other
            exec(compile(step.code, str(README), "exec"), {"__name__": "__main__"})  # noqa: S102
        return out.getvalue()
    words = shlex.split(step.code)
    if words[0] == "cat":
        (folder / words[1]).write_text(shown)
        return shown
    assert words[:2] == ["python", "-m"], f"not run by the tests: {step.code}"
    package, command = words[2].split(".")
    assert (package, command in COMMANDS) == ("bayesjko", True)
    with printed() as out:
        code = importlib.import_module(f"bayesjko.{command}.__main__").main(words[3:])
    assert code == 0, step.code
    return out.getvalue()


@contextmanager
def printed() -> Iterator[io.StringIO]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        yield out


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A folder to work in, with the file of cells that the README is about."""
    rng = np.random.default_rng(0)
    cells = {
        "cell": [f"c{i}" for i in range(180)],
        "day": np.repeat(["day 0", "day 2", "day 5"], 60),
    }
    positions = rng.normal(size=(180, 5)) + np.repeat([0.0, 0.5, 1.0], 60)[:, None]
    columns = cells | {f"PC{i + 1}": positions[:, i] for i in range(5)}
    pd.DataFrame(columns).to_csv(folder / "cells.csv", index=False)
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def readme():
    return README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ran(readme, tmp_path_factory):
    """Every step of the README with what it printed, and the folder it left."""
    with workplace(tmp_path_factory.mktemp("readme")) as folder:
        found = [(step, run(step, folder, part(readme, step))) for step in steps(readme)]
    return found, folder


def part(text: str, step: Step) -> str:
    return "" if step.shown is None else text[slice(*step.shown)]


def lines_of(text: str) -> list[tuple[str, list[str]]]:
    """Each line's words, and its numbers apart."""
    rows = (" ".join(row.split()) for row in text.splitlines())
    return [(NUMBER.sub("#", row), NUMBER.findall(row)) for row in rows if row]


def test_commands_and_examples_print_what_the_readme_shows(readme, ran):
    """Lines may have been added since; none may be gone, or say something else."""
    compared = 0
    for step, out in ran[0]:
        rest = iter(lines_of(out))
        for words, numbers in lines_of(part(readme, step)):
            actual = next((theirs for line, theirs in rest if line == words), None)
            assert actual is not None, f"not printed by {step.code!r}: {words}"
            for ours, theirs in zip(numbers, actual, strict=True):
                values = [float(value.rstrip("%")) for value in (ours, theirs)]
                if "p = #" not in words:  # which half a degree of freedom moves far
                    assert values[0] == pytest.approx(values[1], **CLOSE), (words, ours, theirs)
            compared += 1
    assert compared > 25


def test_every_command_has_an_example_with_its_output(ran):
    shown = {word for step, _ in ran[0] if step.shown for word in step.code.split()[:3]}
    assert {f"bayesjko.{name}" for name in COMMANDS} <= shown


def test_options_and_settings_that_are_named_exist(readme):
    known = set()
    for name in COMMANDS:
        with printed() as out:
            assert importlib.import_module(f"bayesjko.{name}.__main__").main(["--help"]) == 0
        known |= set(re.findall(r"--[a-z][a-z-]*", out.getvalue()))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", readme))
    assert len(named) > 10
    assert named <= known


def test_the_formats_table_is_the_readers(readme):
    from bayesjko.readers import FORMATS

    rows = [row for row in readme.splitlines() if row.startswith("| `.")]
    endings = [ending for row in rows for ending in re.findall(r"`(\.[\w.]+)`", row.split("|")[1])]
    assert sorted(endings) == sorted(FORMATS)


def test_the_groups_table_is_the_result_files(readme, ran):
    """Each group, each variable; those of other kinds of fits are in the other file."""
    told = {
        row.split("|")[1].strip(" `"): set(re.findall(r"`(\w+)`", row.split("|")[2]))
        for row in readme.splitlines()
        if re.match(rf"\| `({'|'.join(GROUPS)})` \|", row)
    }
    held: dict[str, set[str]] = {}
    for name in ("result.nc", "cells.nc"):
        with xr.open_datatree(ran[1] / name, engine="h5netcdf") as tree:
            for group, node in tree.children.items():
                held.setdefault(group, set()).update(map(str, node.to_dataset().data_vars))
    assert set(told) == set(held)
    told["posterior"].remove("interaction_coefficients")  # no example has one
    for group, names in told.items():
        assert names <= held[group], group


def test_links_lead_somewhere(readme):
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", readme)
    assert "docs/figures/landscape.png" in targets
    headings = {
        re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^#+ (.*)", readme, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", readme)) <= headings
    for target in targets:
        assert (ROOT / target).exists(), target
    assert (ROOT / "docs/figures/landscape.png").stat().st_size < 150_000


def test_make_targets_that_are_named_exist(readme):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z]+)", readme))
    assert {"demo", "test"} <= named
    assert named <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))


def update() -> None:
    """Writes what the README's steps print into it."""
    text = README.read_text(encoding="utf-8")
    pieces, reached = [], 0
    with tempfile.TemporaryDirectory() as name, workplace(Path(name)) as folder:
        for step in list(steps(text)):
            out = run(step, folder, part(text, step))
            if step.shown is not None:
                pieces += [text[reached : step.shown[0]], out]
                reached = step.shown[1]
    README.write_text("".join([*pieces, text[reached:]]), encoding="utf-8")


if __name__ == "__main__":
    update()
