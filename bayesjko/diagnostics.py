"""Whether draws can be trusted: judged by what is used of them, never by coefficients.

Coefficients of collinear features, or weights of a network, are not what anybody asks for: R-hat
and effective sample sizes (Vehtari et al., Bayesian Analysis 16, 2021) are those of the force at
probes, of β, and of the earth mover's distance of a forecast of one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayesjko.devices import SAMPLING
from bayesjko.inference.distances import wasserstein

if TYPE_CHECKING:
    from bayesjko.result import Result

__all__ = ["Diagnostics", "diagnose", "probe_draws", "smoothed_ratios"]

_PROBES = 40  # particles at which the force is looked at
_CLOUD = 40  # particles of each end of the forecast whose W1 is looked at
_MOST = 500  # draws of each chain that it is made for
_R_HAT, _BAD_R_HAT = 1.01, 1.05  # Vehtari et al.; and where chains plainly disagree
# Over the draws of a chain: how far above 1 chance alone takes the worst of R-hats of independent
# draws. Of four chains split in two R-hat² − 1 is (F − 1)/(half a chain), 7F being χ² of 7 degrees
# of freedom, whose quantile for one false alarm in a thousand among twice 80 R-hats is 36.
# From 420 draws a chain on this is less than 0.01, and the field's limit is the limit.
_CHANCE = 4.2
_ENOUGH = 50  # effective draws a chain: their 5% quantile is off by a sixth of a deviation
_BFMI = 0.3
_PARETO = 0.7


@dataclass(frozen=True)
class Diagnostics:
    """How well draws stand for the posterior.

    Attributes:
        r_hat: the largest, over the force at probes, β and W1.
        worst: which quantity that is.
        apart: probes whose force has an R-hat above 1.01, or what chance makes of few draws.
        probes: how many there are.
        ess_bulk: the least effective sample size of means.
        ess_tail: the least of 5% and 95% quantiles.
        divergences: draws after trajectories that went astray; None where there are none to go.
        bfmi: the least share of the energy that chains renew at every draw; None if not told.
        pareto_k: shape of the tail of importance ratios of an approximation; None for chains.
        draws: how many there are.
        trusted: whether the draws can be used as they are.
        verdict: that, in words.
    """

    r_hat: float | None
    worst: str | None
    apart: int
    probes: int
    ess_bulk: float | None
    ess_tail: float | None
    divergences: int | None
    bfmi: float | None
    pareto_k: float | None
    draws: int
    trusted: bool
    verdict: str

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Diagnostics:
        """What `dataclasses.asdict` made JSON types of."""
        return cls(**plain)


def diagnose(result: Result) -> Diagnostics | None:
    """The verdict on a result's draws; None for independent draws of a closed form."""
    method = result.posterior.method
    if method == "vi":
        return _approximation(result)
    if method not in SAMPLING:
        return None
    import arviz as az

    draws = probe_draws(result)
    data = {name: _labelled(values) for name, values in draws.items()}
    r_hat = {name: np.asarray(az.rhat(each)["draws"]) for name, each in data.items()}
    bulk, tail = (
        min(float(np.min(az.ess(data[name], method=how)["draws"])) for name in data if name != "w1")
        for how in ("bulk", "tail")
    )
    largest = {name: float(np.max(values)) for name, values in r_hat.items()}
    worst = max(largest, key=lambda name: largest[name])
    each = r_hat["force"].max(axis=-1)
    chance = 1.0 + _CHANCE / draws["force"].shape[1]
    stats = result.posterior.sample_stats
    diverging = stats.get("diverging")
    energy = stats.get("energy")
    return _judged(
        method,
        chains=draws["force"].shape[0],
        r_hat=largest[worst],
        worst=worst,
        chance=chance,
        apart=int(np.sum(each > max(_R_HAT, chance))),
        probes=int(each.size),
        ess_bulk=bulk,
        ess_tail=tail,
        divergences=None if diverging is None else int(np.sum(diverging)),
        bfmi=None if energy is None else float(np.min(_bfmi(energy))),
        draws=int(np.prod(draws["force"].shape[:2])),
    )


def probe_draws(result: Result) -> dict[str, Float[np.ndarray, "chain draw *shape"]]:
    """What a result's draws are judged by, in the user's units.

    `force`: the drift at probes, particles of every period's first snapshot; `beta`, where it is
    sought; `w1`: the earth mover's distance between the last snapshot and where the one before is
    sent in one step without noise, a few particles of each, for fewer draws.
    """
    posterior, snapshots = result.posterior, result.snapshots
    chains, count = posterior.coefficients.shape[:2]
    periods = result.periods
    rng = np.random.default_rng(0)
    force = []
    for period in range(periods):
        cloud = snapshots.particles[period]
        rows = rng.permutation(len(cloud))[: max(1, _PROBES // periods)]
        force.append(result.drift(cloud[rows], float(snapshots.times[period])))
    forces = np.concatenate(force, axis=1)
    draws: dict[str, np.ndarray] = {"force": forces.reshape(chains, count, -1, forces.shape[-1])}
    if result.betas is not None:
        draws["beta"] = result.betas.reshape(chains, count, -1)
    before, after = (
        cloud[rng.permutation(len(cloud))[:_CLOUD]] for cloud in snapshots.particles[-2:]
    )
    drift = result.drift(before, float(snapshots.times[-2])).reshape(chains, count, *before.shape)
    kept = drift[:, :: max(1, -(-count // _MOST))]
    ahead = before + float(snapshots.durations[-1]) * kept
    w1 = [wasserstein(cloud, after) for cloud in ahead.reshape(-1, *before.shape)]
    draws["w1"] = np.reshape(w1, ahead.shape[:2])
    return draws


def smoothed_ratios(
    log_ratios: Float[np.ndarray, " draws"],
) -> tuple[Float[np.ndarray, " draws"], float]:
    """Pareto-smoothed log importance weights, summing to one, and the tail's shape."""
    ratios = np.asarray(log_ratios, dtype=np.float64)
    try:
        from arviz import psislw  # before ArviZ 1.0
    except ImportError:
        from arviz_stats.base import array_stats

        weights, shape = array_stats.psislw(-ratios)  # it takes log-likelihoods to leave out
    else:
        weights, shape = psislw(ratios)
    weights = np.asarray(weights)
    return weights - np.logaddexp.reduce(weights), float(shape)


def _approximation(result: Result) -> Diagnostics:
    ratios = result.posterior.sample_stats["log_importance_ratio"]
    _, shape = smoothed_ratios(ratios.ravel())
    trusted = bool(shape < _PARETO)
    verdict = (
        f"Approximation: Pareto shape {shape:.2f} of the ratios to the posterior (up to 0.7 is "
        "good): trust it."
        if trusted
        else f"Approximation: do not trust: Pareto shape {shape:.2f} of the ratios to the "
        "posterior (above 0.7); use --method nuts, or a richer --guide."
    )
    return Diagnostics(
        r_hat=None,
        worst=None,
        apart=0,
        probes=0,
        ess_bulk=None,
        ess_tail=None,
        divergences=None,
        bfmi=None,
        pareto_k=shape,
        draws=int(ratios.size),
        trusted=trusted,
        verdict=verdict,
    )


def _judged(method: str, *, chains: int, chance: float, **found: Any) -> Diagnostics:
    """With the verdict that its figures call for, worst first."""
    wrong, advice = [], []
    least = min(found["ess_bulk"], found["ess_tail"])
    if not found["r_hat"] <= max(_R_HAT, chance):
        where = (
            f"on {found['apart']} of {found['probes']} probes"
            if found["worst"] == "force"
            else {"beta": "of β", "w1": "of the forecast's W1"}[found["worst"]]
        )
        wrong.append(f"R-hat {found['r_hat']:.3g} {where}")
        advice.append("run longer (more --warmup and --draws)")
    if not least >= _ENOUGH * chains:
        wrong.append(f"only {least:.0f} effective draws of {found['draws']}")
        advice.append("run longer (more --warmup and --draws)")
    if found["divergences"]:
        wrong.append(f"{found['divergences']} divergences")
        advice.append("take a prior with lighter tails (--prior hierarchical)")
    if found["bfmi"] is not None and found["bfmi"] < _BFMI:
        wrong.append(f"chains renew only {found['bfmi']:.2g} of their energy a draw")
        advice.append("take a prior with lighter tails (--prior hierarchical)")
    if wrong:
        other = "nuts" if method == "mclmc" else None
        if other is not None:
            advice.append(f"use --method {other}")
        said = "; ".join(wrong)
        grave = _grave(found, least, chance)
        doubt = "do not trust" if grave else "trust with care"
        verdict = f"Sampling: {doubt}: {said}; {' or '.join(dict.fromkeys(advice))}."
        return Diagnostics(pareto_k=None, trusted=not grave, verdict=verdict, **found)
    stray = "" if found["divergences"] is None else ", no divergences"
    verdict = (
        f"Sampling: R-hat at most {found['r_hat']:.4g} and at least {least:.0f} effective draws of "
        f"{found['draws']} for the force at {found['probes']} probes, β and a forecast{stray}: "
        "trust it."
    )
    return Diagnostics(pareto_k=None, trusted=True, verdict=verdict, **found)


def _grave(found: Mapping[str, Any], least: float, chance: float) -> bool:
    return bool(
        not found["r_hat"] <= max(_BAD_R_HAT, chance)
        or not least >= 0.5 * _ENOUGH
        or (found["divergences"] or 0) > 0.01 * found["draws"]
    )


def _labelled(values: Float[np.ndarray, "chain draw *shape"]) -> xr.Dataset:
    names = ("chain", "draw", *(f"axis_{i}" for i in range(values.ndim - 2)))
    return xr.Dataset({"draws": (names, values)})


def _bfmi(energy: Float[np.ndarray, "chain draw"]) -> Float[np.ndarray, " chain"]:
    """Betancourt's estimate of the Bayesian fraction of missing information."""
    import arviz as az

    return np.asarray(az.bfmi(np.asarray(energy)))
