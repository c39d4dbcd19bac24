"""Energies that change with time, against equations that are known in closed form."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.inference.calibration import sandwich
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.equations import Equations
from bayesjko.inference.moments import moment_search, solved
from bayesjko.inference.options import InferenceOptions, MomentOptions
from bayesjko.inference.residual import residual_problem
from bayesjko.inference.resolution import Resolution
from bayesjko.inference.whole import Whole
from bayesjko.models.bases import Basis, Polynomial, Timed, clock
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.moments import values_of
from bayesjko.models.precision import double

TIMES = np.array([0.0, 0.2, 0.3, 0.6, 0.8])
SPAN = TIMES[[0, -1]]
RAMP = (TIMES - 0.4) / 0.4  # u, from −1 to 1
with double():
    REACH = float(clock(SPAN, SPAN)[1])
QUADRATIC = Polynomial.of_degree(2, 1)


class Ramp(Basis):
    """φ(x) and uφ(x), φ quadratic and u the time: an energy that changes at a constant rate."""

    @property
    def size(self):
        return 2 * QUADRATIC.size

    def value(self, x):
        return jnp.concatenate([QUADRATIC.value(x[:1]), x[1] / REACH * QUADRATIC.value(x[:1])])


class Steps(Basis):
    """φ(x) in each of four spans of time and zero in the others: an energy for each interval."""

    @property
    def size(self):
        return 4 * QUADRATIC.size

    def value(self, x):
        ends = jnp.asarray(RAMP[1:-1])
        here = jnp.arange(4) == jnp.sum(x[1] / REACH > ends)
        return (here[:, None] * QUADRATIC.value(x[:1])).ravel()


def energy_of(basis):
    return LinearEnergy(Timed(basis, np.array(0.4), SPAN))


def population(seed, n=400):
    """A new sample at each time of dX = −k(t)(X − 1)dt from N(3, 1), k = 1 − u/2, exactly."""
    rng = np.random.default_rng(seed)
    shrunk = np.exp(-(TIMES - 0.1 * (RAMP**2 - 1.0)))
    return Snapshots(TIMES, tuple(1.0 + s * (2.0 + rng.normal(size=(n, 1))) for s in shrunk))


DATA = population(0)
OPTIONS = InferenceOptions(draws=8)


@pytest.mark.parametrize("scheme", ["explicit", "midpoint"])
def test_couplings_see_steps_in_time_as_an_energy_for_each_interval(scheme):
    """All of the interval at the features of its middle: sums, and influence of particles."""
    small = Snapshots(TIMES, tuple(cloud[:60] for cloud in DATA.particles))
    steps = residual_problem(energy_of(Steps()), small, scheme=scheme)
    apart = residual_problem(
        LinearEnergy(QUADRATIC), small, scheme=scheme, time_variation="piecewise"
    )
    assert steps.periods == 1
    gram = np.zeros((8, 8))
    for k, block in enumerate(apart.blocks):
        gram[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = block.gram
    np.testing.assert_allclose(steps.blocks[0].gram, gram, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        steps.blocks[0].moment, np.concatenate([b.moment for b in apart.blocks]), rtol=1e-9
    )
    if scheme == "midpoint":  # explicit steps of single energies count another influence
        theta = np.random.default_rng(1).normal(size=(4, 2))
        meat = apart.meat(theta)
        found = steps.meat(theta.reshape(1, -1))
        np.testing.assert_allclose(found, meat, rtol=1e-8, atol=1e-8 * np.abs(meat).max())


def test_followed_particles_see_steps_in_time_as_an_energy_for_each_interval():
    followed = Snapshots(TIMES, tuple(np.sort(c[:60], axis=0) for c in DATA.particles), paired=True)
    steps = residual_problem(energy_of(Steps()), followed, solver="paired")
    apart = residual_problem(
        LinearEnergy(QUADRATIC), followed, solver="paired", time_variation="piecewise"
    )
    theta = np.random.default_rng(1).normal(size=(4, 2))
    meat = apart.meat(theta)
    found = steps.meat(theta.reshape(1, -1))
    np.testing.assert_allclose(found, meat, rtol=1e-8, atol=1e-8 * np.abs(meat).max())


def equations_of(energy, data, period_of):
    sums = Whole.of(data).weak_sums(energy, TESTS)
    values = [values_of(TESTS, cloud) for cloud in data.particles]
    return Equations(energy, data, TESTS, values, period_of, 0.1, 0, sums, [1.0] * len(TIMES))


TESTS = Polynomial.of_degree(3, 1)


def test_simulated_moments_see_steps_in_time_as_an_energy_for_each_interval():
    small = Snapshots(TIMES, tuple(cloud[:40] for cloud in DATA.particles))
    steps = equations_of(energy_of(Steps()), small, [0] * 4)
    apart = equations_of(LinearEnergy(QUADRATIC), small, range(4))
    theta = 0.2 * np.random.default_rng(1).normal(size=(4, 2))
    resolution = Resolution(steps=(4,) * 4, copies=2)
    found = steps.flow(theta.reshape(1, -1), resolution=resolution)
    expected = apart.flow(theta, resolution=resolution)
    np.testing.assert_allclose(found.jacobian, expected.jacobian, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.observed, expected.observed, rtol=1e-9, atol=1e-10)


def test_the_trapezoid_takes_each_snapshot_at_its_own_time():
    """Of a constant rate of change the slope in it is the trapezoid of u times the slope."""
    ramp = equations_of(energy_of(Ramp()), DATA, [0] * 4)
    plain = Whole.of(DATA).weak_sums(LinearEnergy(QUADRATIC), TESTS)
    u, tau = RAMP, np.diff(TIMES)
    expected = [
        0.5 * tau[k] * (u[k] * plain[k].design + u[k + 1] * plain[k + 1].design) for k in range(4)
    ]
    found = ramp.weak(np.zeros((1, 4))).jacobian
    np.testing.assert_allclose(found[:, 2:], np.concatenate(expected), rtol=1e-10, atol=1e-12)
    # and so does what its particles do to it
    theta = np.array([[0.3, -0.2, 0.5, 0.4]])
    sides = list(ramp.weak(theta).sides())
    rates = [
        values_of(TESTS, cloud) - side.target if side.target is not None else None
        for cloud, side in zip(DATA.particles, sides, strict=True)
    ]
    own = theta[0, :2] + u[2] * theta[0, 2:]
    still = equations_of(LinearEnergy(QUADRATIC), DATA, [0] * 4)
    there = list(still.weak(own[None]).sides())[2]
    np.testing.assert_allclose(
        rates[2], values_of(TESTS, DATA.particles[2]) - there.target, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("likelihood", ["residual", "weak", "flow"])
def test_a_rate_of_change_is_found(likelihood):
    """V = ½k(t)(x − 1)², with features x, x², ux and ux²."""
    energy = energy_of(Ramp())
    if likelihood == "residual":
        problem = residual_problem(energy, DATA, scheme="midpoint")
    else:
        problem = solved(
            moment_search(energy, DATA, OPTIONS, MomentOptions(form=likelihood, bumps=4))
        )
    options = replace(OPTIONS, prior_scale=10.0)
    found = conditioned_problem(problem, options)
    covariance = sandwich(found, problem.meat(found.mean))
    for u, x in zip(RAMP, [cloud.mean() for cloud in DATA.particles], strict=True):
        design = -np.array([1.0, 2.0 * x, u, 2.0 * u * x])
        drift, truth = design @ found.mean[0], -(1.0 - 0.5 * u) * (x - 1.0)
        spread = np.sqrt(design @ covariance @ design)
        assert abs(drift - truth) < 3.0 * spread
        assert spread < 0.4
