"""Energies of single long steps: their intervals against how refits on fresh particles vary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.inference.calibration import sandwich
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.displacement import coupling_bias
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.residual import residual_problem
from bayesjko.inference.transport import couple
from bayesjko.models.bases import Polynomial
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy

ENERGY = LinearEnergy(Polynomial(((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))))
OPTIONS = InferenceOptions(draws=4, prior_scale=100.0)
PROBES = np.array([[0.0, 0.0], [1.0, 0.0], [-0.5, 1.0]])
SHRUNK, WIDENED = np.array([0.3, 0.5]), np.array([2.0, 1.5])

GRADIENT = jax.jit(jax.vmap(ENERGY.potential.gradient))


def snapshots_of(seed, count=80):
    """A cloud that shrinks and goes far away, then widens: three fresh samples."""
    clouds = np.random.default_rng(seed).normal(size=(3, count, 2))
    clouds[1] = SHRUNK * clouds[1] + 4.0
    clouds[2] = WIDENED * clouds[2] + 1.0
    return Snapshots(np.array([0.0, 1.0, 3.0]), tuple(clouds))


def forces_and_spreads(seed):
    """At probes of each interval's own start, under the estimate; and what the sandwich says."""
    problem = residual_problem(ENERGY, snapshots_of(seed), time_variation="piecewise", noise=0.1)
    found = conditioned_problem(problem, OPTIONS)
    covariance = sandwich(found, problem.meat(found.mean))
    forces, spreads = [], []
    for period, points in enumerate((PROBES, SHRUNK * PROBES + 4.0)):
        own = slice(period * ENERGY.size, (period + 1) * ENERGY.size)
        design = -np.asarray(GRADIENT(jnp.asarray(points)))
        forces.append(design @ found.mean[period])
        spreads.append(np.sqrt(np.sum((design @ covariance[own, own]) * design, axis=2)))
    return np.stack(forces), np.stack(spreads)


def test_intervals_are_as_wide_as_refits_on_fresh_particles_vary():
    """Root mean squares over probes; 60 refits know a standard deviation to a tenth."""
    forces, spreads = map(np.stack, zip(*map(forces_and_spreads, range(60)), strict=True))
    varied = np.sqrt(np.mean(np.var(forces, axis=0), axis=(1, 2)))
    said = np.sqrt(np.mean(spreads**2, axis=(0, 2, 3)))
    np.testing.assert_allclose(said, varied, rtol=0.25)
    # and the estimate is the optimal map of the populations, (T(x) − x)/τ
    truth = np.stack([(SHRUNK - 1.0) * PROBES + 4.0, 0.5 * ((WIDENED - SHRUNK) * PROBES - 3.0)])
    assert np.sqrt(np.mean((forces.mean(axis=0) - truth) ** 2)) < 0.1


def test_the_influence_of_neighbouring_intervals_is_shared():
    """The middle cloud ends one interval and starts the next: their errors are opposed."""
    problem = residual_problem(ENERGY, snapshots_of(0), time_variation="piecewise", noise=0.1)
    found = conditioned_problem(problem, OPTIONS)
    meat = problem.meat(found.mean)
    scale = np.sqrt(np.diag(meat))
    correlation = meat / np.outer(scale, scale)
    assert correlation[0, ENERGY.size] == pytest.approx(-0.5, abs=0.3)
    assert np.linalg.eigvalsh(correlation)[0] > -1e-10


def test_the_bias_of_couplings_is_found_without_the_truth():
    """In four dimensions, of a cloud that doubles its width: of pairs of samples, and of halves."""
    rng, count, halved, direct = np.random.default_rng(0), 50, [], []
    weight, theta = np.full(2 * count, 0.5 / count), np.array([1.0])
    for _ in range(40):
        cloud = rng.normal(size=(2 * count, 4))
        halved.append(coupling_bias(cloud, weight, cloud[..., None], 1.0, theta))
        target = 2.0 * rng.normal(size=(count, 4))
        pair = couple(Snapshots(np.array([0.0, 1.0]), (cloud[:count], target)))[0]
        moved = np.sum(np.asarray(pair.source) * (pair.target - pair.source), axis=1)
        direct.append(pair.weight @ (moved - np.sum(np.asarray(pair.source) ** 2, axis=1)))
    expected = np.mean(direct)
    assert np.mean(halved) == pytest.approx(expected, abs=4 * np.std(direct) / np.sqrt(40))
    assert expected < -4 * np.std(direct) / np.sqrt(40)  # too short
    assert np.std(halved) < 0.5 * np.std(direct)  # what halves differ in by chance has gone
