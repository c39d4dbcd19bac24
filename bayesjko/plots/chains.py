"""How chains went: traces, ranks and energies of what their draws are judged by."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.stats import rankdata

from bayesjko.devices import SAMPLING
from bayesjko.diagnostics import probe_draws
from bayesjko.models.data import Snapshots
from bayesjko.plots.style import BLACK, BLUE, CYCLE, GREY, VERMILION, new_figure
from bayesjko.result import Result

__all__ = ["draw_chain_energy", "draw_ranks", "draw_traces"]

_BINS = 20


def draw_traces(result: Result, test: Snapshots | None = None) -> Figure | None:
    """Every chain's draws, one after the other: good ones look like the same noise.

    Returns:
        None if the draws are no chains.
    """
    if result.posterior.method not in SAMPLING:
        return None
    shown = _shown(result)
    figure = new_figure("Chains: what each draw says", 9.0, 1.9 * len(shown) + 0.6)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, draws) in zip(panels, shown.items(), strict=True):
        for chain, line in enumerate(draws):
            at = np.linspace(0.0, 1.0, len(line))
            axes.plot(at, line, color=CYCLE[chain % len(CYCLE)], linewidth=0.6, alpha=0.8)
        axes.set_ylabel(name)
    panels[-1].set_xlabel("draws of a chain, from first to last (one colour a chain)")
    return figure


def draw_ranks(result: Result, test: Snapshots | None = None) -> Figure | None:
    """Histograms of each chain's ranks among all draws: flat where chains agree.

    Returns:
        None if the draws are no chains.
    """
    if result.posterior.method not in SAMPLING:
        return None
    shown = _shown(result)
    figure = new_figure("Chains: ranks of each one's draws among all", 9.0, 1.9 * len(shown) + 0.6)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, draws) in zip(panels, shown.items(), strict=True):
        ranks = rankdata(draws).reshape(draws.shape) / draws.size
        edges = np.linspace(0.0, 1.0, _BINS + 1)
        expected = draws.shape[1] / _BINS
        for chain, own in enumerate(ranks):
            counts = np.histogram(own, edges)[0] / expected
            axes.stairs(counts, edges, color=CYCLE[chain % len(CYCLE)], linewidth=1.2)
        axes.axhline(1.0, color=BLACK, linewidth=0.8, linestyle=":")
        axes.set_ylim(0.0, None)
        axes.set_ylabel(f"{name}\n(1: as expected)")
    panels[-1].set_xlabel("rank among all chains' draws (one colour a chain)")
    return figure


def draw_chain_energy(result: Result, test: Snapshots | None = None) -> Figure | None:
    """The energy of draws beside its change from draw to draw: alike where chains reach the tails.

    Returns:
        None if the draws are no chains, or their kernel has no energy.
    """
    energy = result.posterior.sample_stats.get("energy")
    if result.posterior.method not in SAMPLING or energy is None:
        return None
    figure = new_figure("Chains: energy and how much of it a draw renews", 6.4, 4.0)
    axes = figure.subplots()
    centred = (energy - energy.mean()).ravel()
    change = np.diff(energy, axis=1).ravel()
    low, high = np.quantile(np.concatenate([centred, change]), [0.001, 0.999])
    edges = np.linspace(low, high, 41)
    for values, colour, label in (
        (centred, GREY, "energy, about its mean"),
        (change, BLUE, "change from one draw to the next"),
    ):
        counts = np.histogram(values, edges)[0] / len(values)
        axes.stairs(counts, edges, color=colour, fill=colour == GREY, alpha=0.7, label=label)
    found = result.diagnostics
    if found is not None and found.bfmi is not None:
        bad = found.bfmi < 0.3
        axes.set_title(
            f"share renewed at every draw (BFMI): {found.bfmi:.2f}"
            + (", too little" if bad else ""),
            color=VERMILION if bad else BLACK,
        )
    axes.set_xlabel("energy of the Hamiltonian")
    axes.set_ylabel("share of draws")
    axes.legend(loc="best")
    return figure


def _shown(result: Result) -> dict[str, Float[np.ndarray, "chain draw"]]:
    """The force component whose chains differ most, β, and the forecast's W1."""
    draws = probe_draws(result)
    force = draws["force"].reshape(*draws["force"].shape[:2], -1)
    within = force.var(axis=1).mean(axis=0)
    between = force.mean(axis=1).var(axis=0)
    worst = int(np.argmax(between / np.maximum(within, np.finfo(float).tiny)))
    shown = {"force at the probe\nthat mixes least": force[:, :, worst]}
    if "beta" in draws:
        shown["β"] = draws["beta"][:, :, -1]
    shown["W1 of a\nforecast of one step"] = draws["w1"]
    return shown
