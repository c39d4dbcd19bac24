"""Moment equations, their weight and their covariance, against definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.models.bases import Fourier, Polynomial, build_basis
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy, field_of
from bayesjko.models.likelihoods.flow import Paths, moments_of_paths, simulate_paths
from bayesjko.models.likelihoods.moments import (
    Sides,
    build_tests,
    equation_covariance,
    goodness_of_fit,
    values_of,
    weight_of,
    without_leverage,
)
from bayesjko.models.likelihoods.weak import generator, pull, weak_sums
from bayesjko.models.precision import double

RNG = np.random.default_rng(7)
CLOUD = RNG.normal(size=(60, 2))
WEIGHT = RNG.dirichlet(np.full(60, 5.0))
SNAPSHOTS = Snapshots(
    np.array([0.0, 0.1, 0.25]),
    tuple(RNG.normal(size=(n, 2)) for n in (50, 60, 55)),
    tuple(RNG.dirichlet(np.full(n, 5.0)) for n in (50, 60, 55)),
)
ENERGY = LinearEnergy(
    Polynomial.of_degree(3, 2), Fourier(RNG.normal(size=(3, 2)), np.zeros(3), np.ones(3)), True
)
THETA = RNG.normal(size=ENERGY.size) * 0.3
TESTS = build_basis("rbf:6", CLOUD)


def rate(weight, cloud=CLOUD):
    """m[Lψ] by its definition, all derivatives by autodiff."""
    with double():
        x, w = jnp.asarray(cloud), jnp.asarray(weight)
        where = ENERGY.slices

        def felt(point):
            pushes = jax.vmap(lambda other: ENERGY.interaction.value(point - other))(x)
            return (
                ENERGY.potential.value(point) @ THETA[where["potential"]]
                + (w @ pushes) @ THETA[where["interaction"]]
            )

        def one(point):
            slope = jax.jacfwd(TESTS.value)(point)
            bend = jax.jacfwd(jax.jacfwd(TESTS.value))(point)
            return -slope @ jax.grad(felt)(point) + THETA[-1] * jnp.trace(bend, axis1=1, axis2=2)

        return np.asarray(w @ jax.vmap(one)(x))


def test_generator_and_its_design_are_the_definition():
    expected = rate(WEIGHT)
    values = generator(ENERGY, TESTS, THETA, CLOUD, WEIGHT)
    np.testing.assert_allclose(WEIGHT @ values, expected, rtol=1e-10, atol=1e-12)
    whole = Snapshots(np.array([0.0, 1.0]), (CLOUD, CLOUD + 1), (WEIGHT, WEIGHT))
    cloud, weight = whole.particles[0], whole.weights[0]
    with double():
        design = weak_sums(field_of(ENERGY, cloud, weight), TESTS, cloud, weight).design
    np.testing.assert_allclose(design @ THETA, expected, rtol=1e-10, atol=1e-12)


def test_influence_of_a_particle_on_the_rate_is_its_own_part_and_its_pull():
    influence = generator(ENERGY, TESTS, THETA, CLOUD, WEIGHT) + pull(
        ENERGY, TESTS, THETA, CLOUD, WEIGHT
    )
    step = 1e-6
    for p in (0, 17):
        towards = np.zeros(len(WEIGHT))
        towards[p] = 1.0
        tilt = towards - WEIGHT
        slope = (rate(WEIGHT + step * tilt) - rate(WEIGHT - step * tilt)) / (2 * step)
        np.testing.assert_allclose(influence[p] - WEIGHT @ influence, slope, rtol=1e-5, atol=1e-7)


def random_sides(count=3, tests=4):
    sides = []
    for k in range(count):
        n = 30 + k
        values = RNG.normal(size=(2, n, tests))
        sides.append(
            Sides(
                RNG.dirichlet(np.full(n, 5.0)),
                values[0] if k else None,
                values[1] if k + 1 < count else None,
            )
        )
    return sides


def test_covariance_of_the_equations_is_the_sum_over_particles():
    sides = random_sides()
    expected = np.zeros((8, 8))
    for k, side in enumerate(sides):
        for p, w in enumerate(side.weight):
            row = np.zeros(8)
            if side.target is not None:
                row[4 * (k - 1) : 4 * k] += side.target[p] - side.weight @ side.target
            if side.source is not None:
                row[4 * k : 4 * k + 4] -= side.source[p] - side.weight @ side.source
            expected += w**2 * np.outer(row, row)
    np.testing.assert_allclose(equation_covariance(sides), expected, atol=1e-14)


def test_unshrunk_weight_is_the_inverse_covariance_of_particles_that_stand_still():
    values = [side.target if side.target is not None else side.source for side in random_sides()]
    weights = [RNG.dirichlet(np.full(len(v), 5.0)) for v in values]
    still = [
        Sides(w, v if k else None, v if k < 2 else None)
        for k, (w, v) in enumerate(zip(weights, values, strict=True))
    ]
    inverse = weight_of(values, weights, 0.0)
    np.testing.assert_allclose(inverse @ equation_covariance(still), np.eye(8), atol=1e-10)
    shrunk = weight_of(values, weights, 1.0)
    typical = [
        np.trace(equation_covariance([Sides(w, None, v), Sides(w, v, None)])) / 8
        for w, v in zip(weights, values, strict=True)
    ]
    assert np.linalg.inv(shrunk)[0, 0] == pytest.approx(typical[0] + typical[1], rel=1e-9)


def test_leverage_makes_deviations_larger():
    sides = random_sides()
    values = [s.target if s.target is not None else s.source for s in sides]
    weight = weight_of(values, [s.weight for s in sides], 0.02)
    freed = list(without_leverage(sides, weight))
    assert np.all(np.diag(equation_covariance(freed)) > np.diag(equation_covariance(sides)))


def test_goodness_of_fit_has_its_reference_distribution():
    size, parameters = 12, 3
    root = RNG.normal(size=(size, size))
    covariance = root @ root.T / size + np.eye(size)
    weight = np.diag(RNG.uniform(0.5, 2.0, size))
    jacobian = RNG.normal(size=(size, parameters))
    ridge = np.full(parameters, 0.5)
    inverse = np.linalg.inv(jacobian.T @ weight @ jacobian + np.diag(ridge))
    values = []
    for _ in range(2000):
        theta = RNG.normal(size=parameters) / np.sqrt(ridge)
        y = jacobian @ theta + np.linalg.cholesky(covariance) @ RNG.normal(size=size)
        left = y - jacobian @ (inverse @ (jacobian.T @ (weight @ y)))
        values.append(goodness_of_fit(left, weight, jacobian, inverse, covariance, ridge).p_value)
    assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(values) == pytest.approx(0.5, abs=0.03)


def test_tests_are_standardised_and_as_many_as_particles_allow():
    energy = LinearEnergy(Polynomial.of_degree(2, 2))
    pooled = np.concatenate(SNAPSHOTS.particles)
    tests = build_tests(energy, pooled, bumps=7, most=100, seed=0)
    assert tests.size == 5 + 7
    np.testing.assert_allclose(values_of(tests, pooled).std(axis=0), 1.0, rtol=1e-9)
    assert build_tests(energy, pooled, bumps=7, most=8, seed=0).size == 8
    assert build_tests(energy, pooled, bumps=7, most=2, seed=0).size == 2


QUADRATIC = LinearEnergy(Polynomial.of_degree(2, 2), None, True)
# x1, x2, x1², x1x2, x2²: V = x1² + x2²/2, β = 0.3
BOWL = np.array([0.0, 0.0, 1.0, 0.0, 0.5, 0.3])
MONOMIALS = Polynomial.of_degree(2, 2)


def bowl_moments(theta, copies=400, steps=16):
    low, high = CLOUD.min(axis=0), CLOUD.max(axis=0)
    paths = Paths.over(len(CLOUD), low, high, copies=copies, steps=steps, seed=3)
    fold = np.arange(len(CLOUD)) % 3
    return moments_of_paths(QUADRATIC, MONOMIALS, theta, CLOUD, WEIGHT, 0.4, paths, fold)


def test_paths_have_the_moments_of_ornstein_and_uhlenbeck():
    values, _ = bowl_moments(BOWL)
    rates = np.array([2.0, 1.0])
    mean = CLOUD * np.exp(-rates * 0.4)
    variance = 0.3 * (1 - np.exp(-2 * rates * 0.4)) / rates
    np.testing.assert_allclose(values[:, :2], mean, atol=2e-3)  # antithetic: no noise in means
    square = WEIGHT @ values[:, [2, 4]]
    np.testing.assert_allclose(square, WEIGHT @ mean**2 + variance, rtol=0.01)


def test_slope_of_the_moments_is_their_derivative():
    _, slopes = bowl_moments(BOWL, copies=4, steps=4)
    fold = np.arange(len(CLOUD)) % 3
    for j in range(QUADRATIC.size):
        step = np.zeros(QUADRATIC.size)
        step[j] = 1e-5
        up = bowl_moments(BOWL + step, copies=4, steps=4)[0]
        down = bowl_moments(BOWL - step, copies=4, steps=4)[0]
        for f in range(3):
            moved = np.where(fold == f, WEIGHT, 0.0) @ (up - down) / 2e-5
            np.testing.assert_allclose(slopes[f, :, j], moved, rtol=1e-6, atol=1e-8)


def test_paths_that_escape_stay_in_their_box():
    cliff = BOWL.copy()
    cliff[2] = -500.0
    low, high = CLOUD.min(axis=0), CLOUD.max(axis=0)
    paths = Paths.over(len(CLOUD), low, high, copies=2, steps=4, seed=3)
    end = simulate_paths(QUADRATIC, cliff, CLOUD, WEIGHT, 1.0, paths)
    assert np.all(np.isfinite(end))
    assert np.abs(end[..., 0]).max() > 3 * np.abs(CLOUD[:, 0]).max()
