"""A result as one page that somebody reads who has never seen the package."""

from __future__ import annotations

import json
import tempfile
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from bayesjko.command import write_atomically
from bayesjko.report.page import figure, page, paragraphs, section, table
from bayesjko.result import Result
from bayesjko.summary import identifiability_lines, summarise

__all__ = ["report", "write_report"]

_CAPTIONS = {
    "clouds": (
        "Observed and predicted particles",
        "Each panel: what was seen at a time, and where the snapshot before would have moved under "
        "the energy that was learned. Where the two clouds overlap, the energy explains the data.",
    ),
    "landscape": (
        "The potential and its uncertainty",
        "The landscape that particles roll down: valleys attract, hills repel. Beside it the "
        "standard deviation: where it is large, the height is not known.",
    ),
    "interaction": (
        "The interaction between particles",
        "How two particles act on one another, by their distance, with its uncertainty.",
    ),
    "forces": (
        "Forces and their uncertainty",
        "Arrows say where a particle is pushed, and how fast; their colour how uncertain that is, "
        "as a share of the push itself. From 1 on even the direction is not known.",
    ),
    "trajectories": (
        "Forecast trajectories",
        "Some particles followed under many energies that the data allow, with the noise of the "
        "motion. A wide fan means that the future is open, by chance or by ignorance.",
    ),
    "scores": (
        "How far forecasts are from what was seen",
        "Lower is better. A forecast should lie below the line on which nobody moves, and cannot "
        "be expected below the noise floor, the distance of two samples of one population.",
    ),
    "identifiability": (
        "What the data could tell",
        "Directions in which the data say more than the prior assumption, and those in which the "
        "assumption alone decides.",
    ),
}

_PLACES = {
    "data": ("clouds",),
    "energy": ("landscape", "interaction"),
    "uncertainty": ("forces",),
    "told": ("identifiability",),
    "forecast": ("trajectories",),
    "scores": ("scores",),
}

_SECTIONS = (
    ("data", "The data"),
    ("energy", "The energy"),
    ("uncertainty", "How sure we are"),
    ("told", "What the data could tell"),
    ("diagnostics", "Checks"),
    ("forecast", "Forecasts"),
    ("scores", "Scores"),
    ("settings", "Settings"),
)


def report(result: Result) -> str:
    """The page: HTML with everything in it, pictures too; it loads nothing and runs nothing."""
    pictures = _pictures(result)
    used: set[str] = set()

    def shown(place: str) -> str:
        names = [name for name in _PLACES.get(place, ()) if name in pictures]
        used.update(names)
        return "\n".join(figure(pictures[name], *_CAPTIONS[name]) for name in names)

    snapshots = result.snapshots
    short = "".join(f"<li>{escape(line)}</li>" for line in _in_short(result))
    body = [
        f'<div class="short"><strong>In short</strong><ul>{short}</ul></div>',
        section("data", "The data", _data(result), shown("data")),
        section("energy", "The energy", paragraphs(_energy(result)), shown("energy")),
        section("uncertainty", "How sure we are", paragraphs(_sure(result)), shown("uncertainty")),
        section(
            "told",
            "What the data could tell",
            paragraphs(identifiability_lines(result)),
            shown("told"),
        ),
    ]
    forecast = section("forecast", "Forecasts", paragraphs(_forecast(result)), shown("forecast"))
    scores = section("scores", "Scores", _scores(result), shown("scores"))
    rest = [
        figure(png, f"Picture: {name}", f"{name.replace('_', ' ').capitalize()}.")
        for name, png in pictures.items()
        if name not in used
    ]
    body.append(section("diagnostics", "Checks", paragraphs(_checks(result)), *rest))
    body += [forecast, scores, section("settings", "Settings", _settings(result))]
    versions = result.provenance.get("versions", {})
    return page(
        "What drives this population",
        f"{len(snapshots.times)} snapshots, {sum(snapshots.counts)} particles, "
        f"{snapshots.dimension} features",
        "\n".join(body),
        _SECTIONS,
        f"Made by bayesjko {versions.get('bayesjko', '')} from data with the hash "
        f"{str(result.provenance.get('data_hash', 'unknown'))[:16]}.",
    )


def write_report(result: Result, path: str | Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: the folder does not exist or cannot be written to.
    """
    with write_atomically(path) as temporary:
        temporary.write_text(report(result), encoding="utf-8")


def _pictures(result: Result) -> dict[str, bytes]:
    from bayesjko.plots import plot_result  # Matplotlib only where something is drawn

    with tempfile.TemporaryDirectory() as folder:
        return {path.stem: path.read_bytes() for path in plot_result(result, folder)}


def _in_short(result: Result) -> list[str]:
    snapshots, told = result.snapshots, result.identifiability
    first, last = snapshots.times[0], snapshots.times[-1]
    fewest, most = min(snapshots.counts), max(snapshots.counts)
    counts = f"{most}" if fewest == most else f"{fewest} to {most}"
    lines = [
        f"{len(snapshots.times)} snapshots of {counts} particles each were taken from time "
        f"{first:g} to {last:g}; no particle was followed."
        if not snapshots.paired
        else f"{min(snapshots.counts)} particles were followed over {len(snapshots.times)} "
        f"snapshots from time {first:g} to {last:g}."
    ]
    if not snapshots.paired:  # particles that were followed show forces in any case
        lines.append(
            "The population hardly moves: little can be learned of what drives it."
            if told.movement.still
            else "The population moves: its snapshots differ by "
            f"{told.movement.ratio:.2g} times what chance alone would make."
        )
    size, spread = told.sizes.get("drift", 0.0), told.spreads.get("drift", 0.0)
    if size > 0.0:
        lines.append(
            f"What pushes the particles is known to about ±{spread / size:.0%}."
            if spread < size
            else "What pushes the particles is hardly known: the uncertainty is as large as "
            "the push itself."
        )
    if result.beta is not None:
        low, high = np.quantile(result.beta, [0.05, 0.95])
        verdict = "" if low > 0 else ", so that the data do not show that there is any"
        lines.append(
            f"Random motion: β = {result.beta.mean():.3g}, with 90% probability between {low:.3g} "
            f"and {high:.3g}{verdict}."
        )
    test = result.posterior.goodness_of_fit
    if test is not None:
        lines.append(
            "The data contradict the model: what is missing may be another energy, one that "
            f"changes in time, or growth and death (p = {test.p_value:.2g})."
            if test.p_value < 0.05
            else f"The data do not contradict the model (p = {test.p_value:.2g})."
        )
    rows = result.scores.get("intervals", [])
    if rows:
        w1, still, floor = (
            float(np.mean([row[name] for row in rows]))
            for name in ("w1", "persistence_w1", "floor_w1")
        )
        better = "better than" if w1 < still else "no better than"
        lines.append(
            f"Forecasts of particles that were held out are {better} assuming that nobody moves: "
            f"they miss by {w1:.3g} on average, against {still:.3g}; about {floor:.3g} is the best "
            "there can be."
        )
    return lines


def _data(result: Result) -> str:
    snapshots = result.snapshots
    rows = [
        (f"{t:g}", str(n), f"{size:.0f}")
        for t, n, size in zip(
            snapshots.times, snapshots.counts, snapshots.effective_sizes, strict=True
        )
    ]
    features = f"Features: {', '.join(snapshots.features)}."
    return "\n".join(
        [
            table(("time", "particles", "effective number"), rows, numbers=True),
            paragraphs([features, *snapshots.notes]),
        ]
    )


def _energy(result: Result) -> list[str]:
    terms = {
        "potential": "a potential, a landscape that every particle rolls down",
        "interaction": "an interaction, by which particles attract or repel one another",
        "internal": "an internal energy β, which makes particles spread at random",
    }
    present = [terms[name] for name in result.energy.sizes]
    lines = [f"The population is taken to be driven by {'; '.join(present)}."]
    periods = result.periods
    if result.posterior.walk is not None or result.energy.timed:
        lines.append("The energy changes smoothly in time.")
    elif periods > 1:
        lines.append(f"It is another one in each of {periods} intervals between snapshots.")
    else:
        lines.append("It is the same at all times.")
    return lines


def _sure(result: Result) -> list[str]:
    how = {
        "sandwich": "how much the answer would vary if other particles had been drawn",
        "bootstrap": "how much the answer varies when the particles are drawn again at random",
        "model": "the model's own arithmetic, which takes couplings for observations: they are too "
        "narrow",
    }
    basis = how.get(result.posterior.uncertainty, result.posterior.uncertainty)
    return [
        "The answer is not one energy but many, each as compatible with the data as chance allows. "
        "A 90% interval holds nine in ten of them.",
        f"Intervals stand on {basis}.",
    ]


def _checks(result: Result) -> list[str]:
    test = result.posterior.goodness_of_fit
    lines = []
    if test is not None:
        lines.append(
            f"Goodness of fit: χ² = {test.statistic:.1f} at {test.degrees_of_freedom:.1f} degrees "
            f"of freedom, p = {test.p_value:.3g}. A small p (below 0.05) says that no energy of "
            "this kind drives these data; a large one only that these data do not contradict it."
        )
    if result.posterior.log_evidence is not None:
        lines.append(
            f"Log evidence {result.posterior.log_evidence:.2f}: higher is better, among fits of "
            "the same data by the same likelihood only."
        )
    lines += list(result.posterior.notes)
    return lines or ["There is nothing to remark."]


def _forecast(result: Result) -> list[str]:
    last = result.snapshots.times[-1]
    return [
        f"Particles can be followed beyond the last snapshot, at time {last:g}, from any cloud and "
        "with any term of the energy changed: python -m bayesjko.forecast."
    ]


def _scores(result: Result) -> str:
    rows = result.scores.get("intervals", [])
    if not rows:
        return paragraphs(
            [
                "No particles were held out. Fit with --holdout 0.3, or score whole snapshots by "
                "python -m bayesjko.evaluate RESULT DATA --leave-out TIME."
            ]
        )
    cells = [
        (
            f"{row['time']:g}",
            f"{row['w1']:.3g}",
            f"{row['w1_low']:.3g} to {row['w1_high']:.3g}",
            f"{row['persistence_w1']:.3g}",
            f"{row['floor_w1']:.3g}",
        )
        for row in rows
    ]
    head = ("time", "forecast", "90% of draws", "nobody moves", "noise floor")
    meaning = (
        "Earth mover's distance W1, in the features' unit: how far a forecast must be carried on "
        "average to become what was seen of the particles that were held out."
    )
    return paragraphs([meaning]) + table(head, cells, numbers=True)


def _settings(result: Result) -> str:
    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    rows = [(name, text(value)) for name, value in result.settings.items()]
    provenance = [(name, text(value)) for name, value in result.provenance.items()]
    said = escape(summarise(result))
    return "\n".join(
        [
            table(("setting", "value"), rows),
            table(("origin", "value"), provenance) if provenance else "",
            "<details><summary>The summary as the command prints it</summary>"
            f'<p style="white-space: pre-wrap">{said}</p></details>',
        ]
    )
