"""What samplers of simulated moments see beside the linearisation."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.inference.bending import bending
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.equations import Equations
from bayesjko.inference.moments import moment_search, solved
from bayesjko.inference.nuts import infer
from bayesjko.inference.options import InferenceOptions, MomentOptions
from bayesjko.inference.resolution import Resolution
from bayesjko.inference.running import Run
from bayesjko.inference.target import linear_program
from bayesjko.inference.whole import Whole
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.likelihoods.moments import build_tests, values_of, weight_of
from bayesjko.models.precision import double

MOMENTS = MomentOptions(form="flow", bumps=4, steps=8, copies=8)
OPTIONS = InferenceOptions(draws=1200, chains=2, warmup=300)


@pytest.fixture(scope="module")
def snapshots():
    """Few and distant snapshots of dX = −1.5 X dt + √0.4 dB: little is known, far from linearly."""
    rng = np.random.default_rng(2)
    times = np.array([0.0, 0.3, 0.9])
    decay = np.exp(-1.5 * times)
    spread = np.sqrt(0.09 * decay**2 + 0.2 * (1 - decay**2) / 1.5)
    clouds = tuple(
        2 * m + s * rng.normal(size=(150, 1)) for m, s in zip(decay, spread, strict=True)
    )
    plain = Snapshots(times, clouds)
    return Standardisation.of(plain).apply(plain)


@pytest.mark.parametrize("internal", [True, False])
def test_it_is_the_estimating_function_itself(snapshots, internal):
    """On all particles and all copies: what the equations at θ say, and nothing else."""
    energy = build_linear_energy(snapshots, potential="poly:2", internal=internal)
    problem = solved(moment_search(energy, snapshots, OPTIONS, MOMENTS))
    found = conditioned_problem(problem, OPTIONS)
    pooled = np.concatenate(snapshots.particles)
    tests = build_tests(energy, pooled, bumps=4, most=42, seed=OPTIONS.seed)
    values = [values_of(tests, cloud) for cloud in snapshots.particles]
    weight = weight_of(values, snapshots.weights, 0.02)
    sums = Whole.of(snapshots).weak_sums(energy, tests)
    given = energy, snapshots, tests, values, (0, 0), 0.02, OPTIONS.seed, sums, [1.0, 1.0, 1.0]
    equations = Equations(*given)
    resolution = Resolution((8, 8), 8)
    bend = bending(equations, weight, resolution, found, particles=150, copies=8)

    at = equations.flow(found.mean, resolution=resolution)
    with double():
        np.testing.assert_allclose(
            bend(jnp.asarray(found.mean.ravel())), found.mean.ravel(), rtol=1e-5
        )
        slope = jax.jacfwd(bend)(jnp.asarray(found.mean.ravel()))
        np.testing.assert_allclose(slope, np.eye(energy.size), atol=1e-4)
        for factor in (0.6, 1.3):
            theta = factor * found.mean
            there = equations.flow(theta, resolution=resolution)
            moved = (there.observed - there.jacobian @ theta.ravel()) - (
                at.observed - at.jacobian @ found.mean.ravel()
            )
            change = moved + at.jacobian @ (theta - found.mean).ravel()
            expected = theta.ravel() - found.joint_inverse() @ (at.jacobian.T @ weight @ change)
            assert not np.allclose(expected, theta.ravel(), rtol=1e-3)
            np.testing.assert_allclose(bend(jnp.asarray(theta.ravel())), expected, rtol=1e-4)


def test_a_bend_that_is_mostly_of_its_own_paths_is_left_out(snapshots):
    """What many coefficients are not told bends so far that few paths disagree about it."""
    bends = []
    for potential in ("poly:2", "poly:6"):
        energy = build_linear_energy(snapshots, potential=potential, internal=False)
        problem = solved(moment_search(energy, snapshots, OPTIONS, MOMENTS))
        bends.append(problem.bending(conditioned_problem(problem, OPTIONS)))
    assert bends[0] is not None
    assert bends[1] is None
    straight = replace(problem, bending=None)
    np.testing.assert_array_equal(*(infer(p, OPTIONS, Run()).draws for p in (problem, straight)))


def test_a_sampler_finds_what_a_grid_finds(snapshots):
    energy = build_linear_energy(snapshots, potential="poly:2", internal=False)
    problem = solved(moment_search(energy, snapshots, OPTIONS, MOMENTS))
    found = conditioned_problem(problem, OPTIONS)
    posterior = infer(problem, OPTIONS, Run())
    low, high = posterior.draws[:, 0].min(axis=0), posterior.draws[:, 0].max(axis=0)
    axes = [
        np.linspace(a - 0.3 * (b - a), b + 0.3 * (b - a), 61)
        for a, b in zip(low, high, strict=True)
    ]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    with double():
        program = linear_program(problem, OPTIONS, found)
        density = np.asarray(
            jax.lax.map(program.likelihood.log_density, jnp.asarray(grid), batch_size=256)
        )
    density = density - 0.5 * grid**2 @ found.precision
    mass = np.exp(density - density.max())
    mass /= mass.sum()
    mean = mass @ grid
    deviation = np.sqrt(mass @ (grid - mean) ** 2)
    straight = replace(problem, bending=None)
    plain = infer(straight, OPTIONS, Run())
    draws = posterior.draws[:, 0]
    np.testing.assert_allclose(draws.mean(axis=0), mean, rtol=0, atol=0.1 * deviation.min())
    np.testing.assert_allclose(draws.std(axis=0), deviation, rtol=0.15)
    # and it matters: the linearisation alone is elsewhere
    gap = np.abs(plain.draws[:, 0].mean(axis=0) - mean) / deviation
    assert gap.max() > 0.1
