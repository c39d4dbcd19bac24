"""Pages that nobody writes: the reference, the commands' options, and what experiments found."""

import contextlib
import importlib
import inspect
import io
import os
from pathlib import Path
from typing import Any

import pandas as pd
from mkdocs.structure.files import File, Files

import bayesjko
from bayesjko.experiments import EXPERIMENTS
from bayesjko.experiments.engine import experiment
from bayesjko.experiments.tables import markdown

_COMMANDS = ("fit", "forecast", "evaluate", "compare", "energy", "simulate", "report")
_MODELLING = (
    "bayesjko.models.program.EnergyLikelihood",
    "bayesjko.models.bases.build_basis",
    "bayesjko.plots.plot_result",
)
_FOLDED = 15  # rows from which on a table opens at a click


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages."""
    results = Path(config["docs_dir"]) / "results"
    for name, text in {
        "reference.md": reference(),
        "commands.md": commands(),
        "results.md": found(results),
    }.items():
        files.append(File.generated(config, name, content=text))
    return files


def reference() -> str:
    """Everything in `bayesjko.__all__`, functions first."""
    parts: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": [], "Modelling": []}
    for name in bayesjko.__all__:
        thing = getattr(bayesjko, name)
        kind = "Functions"
        if inspect.isclass(thing):
            kind = "Errors" if issubclass(thing, Exception) else "Classes"
        # a function may be called like its module: only where it is made is it unambiguous
        parts[kind].append(f"{thing.__module__}.{thing.__qualname__}")
    parts["Modelling"] += _MODELLING
    lines = ["# Python", "", "What `import bayesjko` offers, by name."]
    for part, names in parts.items():
        lines += ["", f"## {part}"]
        for name in names:
            lines += ["", f"::: {name}"]
    return "\n".join(lines) + "\n"


def commands() -> str:
    """What each command says of its options."""
    lines = [
        "# Commands",
        "",
        "Each is run as `python -m bayesjko.NAME`. All of them end with exit code 2 and one "
        "sentence when an input cannot be used, and write a file whole or not at all. Experiments "
        "are run by `python -m bayesjko.experiments list` and `run NAME`.",
    ]
    for name in _COMMANDS:
        module = importlib.import_module(f"bayesjko.{name}.__main__")
        lines += ["", f"## {name}", "", "```text", _help(module.main).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _help(main: Any) -> str:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "76"
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            main(["--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return out.getvalue()


def found(folder: Path) -> str:
    """Every experiment's question, and its tables and pictures if they are there."""
    lines = [
        "# Results",
        "",
        "What the experiments found. This page is made from the files that they wrote, by the "
        "build; each table stands below the command that makes it again.",
    ]
    for name in EXPERIMENTS:
        lines += ["", f"## {name}", "", experiment(name).question]
        here = folder / name
        parts = [here, *sorted(path for path in here.glob("*/") if path.is_dir())]
        shown = [part for part in parts if (part / "metrics.csv").exists()]
        for part in shown:
            lines += _of(part.relative_to(folder), part)
        if not shown:
            lines += _missing(name)
    return "\n".join(lines) + "\n"


def _missing(name: str) -> list[str]:
    return [
        "",
        "Not kept here. To have it:",
        "",
        *("```sh", f"python -m bayesjko.experiments run {name}", "```"),
    ]


def _of(name: Path, folder: Path) -> list[str]:
    """Commands, how the run went, tables and pictures."""
    told = [
        line
        for line in (folder / "README.md").read_text("utf-8").splitlines()
        if line.startswith("- ")
    ]
    command = next(line for line in told if line.startswith("- Command: `"))
    lines = ["", "```sh", command.removeprefix("- Command: `").removesuffix("`"), "```", ""]
    lines += [line for line in told if line.startswith(("- Finished", "- Cells", "- Machine"))]
    for picture in sorted(folder.glob("*.png")):
        words = picture.stem.replace("_", " ")
        lines += ["", f"![{name}: {words}](results/{name}/{picture.name})"]
    tables = sorted(folder.glob("*.csv"), key=lambda path: (path.stem != "metrics", path.stem))
    for path in tables:
        table = markdown(pd.read_csv(path))
        if len(table) - 2 > _FOLDED:
            table = [
                f'??? note "{path.stem}: {len(table) - 2} rows"',
                "",
                *(f"    {row}" for row in table),
            ]
        else:
            table = [f"`{path.stem}`", "", *table]
        lines += ["", *table]
    return lines
