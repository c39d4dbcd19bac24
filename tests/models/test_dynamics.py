"""One-step maps against their equations, the stochastic one against closed-form moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.models.bases import RBF, Even, Polynomial
from bayesjko.models.dynamics import advance, drift
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.precision import double

SQUARES = Polynomial(((2, 0), (0, 2)))
BUMPS = Even(RBF(np.array([[0.8, 0.0], [-0.3, 0.9], [0.4, -1.0]]), 0.7))
CLOUD = np.random.default_rng(2).normal(size=(40, 2)) + [1.0, -0.5]
WEIGHT = np.random.default_rng(3).dirichlet(np.full(40, 2.0))
KEY = jax.random.PRNGKey(0)

QUADRATIC = LinearEnergy(SQUARES)
ROUGH = LinearEnergy(Polynomial.of_degree(4, 2))
BOTH = LinearEnergy(Polynomial.of_degree(4, 2), BUMPS)
ATTRACTED = LinearEnergy(None, BUMPS)
DIFFUSING = LinearEnergy(SQUARES, internal=True)


@pytest.fixture(autouse=True)
def float64():
    with double():
        yield


def move(energy, theta, cloud=CLOUD, *, tau=0.1, steps=1, scheme="explicit", key=KEY, weight=None):
    """One cloud, or several with one draw each."""
    theta, clouds = jnp.atleast_2d(jnp.asarray(theta)), jnp.asarray(cloud)
    if clouds.ndim == 2:
        clouds = jnp.broadcast_to(clouds, (len(theta), *clouds.shape))
    n = clouds.shape[1]
    weight = jnp.full(n, 1.0 / n) if weight is None else jnp.asarray(weight)
    duration, steps = jnp.asarray(tau), jnp.asarray(steps)
    keys = jax.random.split(key, len(theta))
    return np.asarray(advance(energy, theta, clouds, weight, duration, steps, keys, scheme))


def rough(energy, seed=0):
    """A confining quartic, and an interaction of both signs."""
    theta = 0.2 * np.random.default_rng(seed).normal(size=energy.size)
    theta[energy.slices.get("interaction", slice(0))] *= 10
    if energy.potential is not None:
        exponents = energy.potential.exponents
        theta[[exponents.index((4, 0)), exponents.index((0, 4))]] = 0.3
    return jnp.asarray(theta)


@pytest.mark.parametrize("energy", [ROUGH, BOTH, ATTRACTED])
@pytest.mark.parametrize(
    ("scheme", "share"), [("explicit", 0.0), ("midpoint", 0.5), ("implicit", 1.0)]
)
def test_each_map_solves_its_equation(energy, scheme, share):
    """Y = x + τ f(z), z the share of the way from x to y."""
    theta = rough(energy)
    y = move(energy, theta, scheme=scheme, weight=WEIGHT)[0]
    z = jnp.asarray((1 - share) * CLOUD + share * y)
    felt = np.asarray(drift(energy, theta, z, z, jnp.asarray(WEIGHT)))
    np.testing.assert_allclose(y, CLOUD + 0.1 * felt, rtol=0, atol=1e-9)
    assert np.abs(y - CLOUD).max() > 0.01


@pytest.mark.parametrize(
    ("scheme", "factor"),
    [("explicit", 1 - 0.6), ("midpoint", (1 - 0.3) / (1 + 0.3)), ("implicit", 1 / (1 + 0.6))],
)
def test_a_quadratic_well_shrinks_by_the_schemes_own_factor(scheme, factor):
    moved = move(QUADRATIC, [1.5, 1.5], tau=0.2, scheme=scheme)  # V = ½·3‖x‖²
    np.testing.assert_allclose(moved[0], factor * CLOUD, rtol=1e-9)


def test_the_drift_is_that_of_the_potential_and_of_every_other_particle():
    energy, theta = LinearEnergy(SQUARES, SQUARES), jnp.asarray([1.0, 2.0, 0.5, 0.5])
    found = drift(energy, theta, *map(jnp.asarray, (CLOUD[:3], CLOUD, WEIGHT)))
    expected = -2.0 * CLOUD[:3] * [1.0, 2.0] - (CLOUD[:3] - WEIGHT @ CLOUD)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_stiff_well_with_attraction_is_solved_implicitly():
    """The step is three times what an explicit one, or a plain fixed point, survives."""
    energy, theta = LinearEnergy(SQUARES, SQUARES), [3.0, 3.0, 1.0, 1.0]
    moved = move(energy, theta, tau=1.0, scheme="implicit")[0]
    mean = CLOUD.mean(axis=0)
    np.testing.assert_allclose(moved, mean / 7 + (CLOUD - mean) / 9, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("scheme", "share"), [("midpoint", 0.5), ("implicit", 1.0)])
def test_a_long_step_in_rough_terrain_goes_downhill_and_no_further(scheme, share):
    """Where the equation has many roots or a singular slope, Newton's method alone escapes.

    A proximal step never costs more than it gains: ‖z − x‖²/(2·share·τ) ≤ V(x) − V(z), and V is
    bounded by the sum of the heights of its bumps.
    """
    rng = np.random.default_rng(5)
    rugged = LinearEnergy(RBF(1.5 * rng.normal(size=(30, 2)), 0.4))
    theta = jnp.asarray(2.0 * rng.normal(size=30))
    y = move(rugged, theta, tau=2.0, scheme=scheme)[0]
    z = jnp.asarray((1 - share) * CLOUD + share * y)
    felt = np.asarray(drift(rugged, theta, z, z, jnp.full(40, 1 / 40)))
    np.testing.assert_allclose(y, CLOUD + 2.0 * felt, rtol=0, atol=1e-7)
    value = jax.vmap(rugged.potential.value)
    gained = np.asarray((value(jnp.asarray(CLOUD)) - value(z)) @ theta)
    cost = np.sum((np.asarray(z) - CLOUD) ** 2, axis=1) / (2 * share * 2.0)
    assert np.all(cost <= gained + 1e-9)
    assert cost.max() > 0.1


def test_steps_divide_the_time():
    theta = rough(ROUGH)
    half = move(ROUGH, theta, tau=0.05)[0]
    np.testing.assert_allclose(
        move(ROUGH, theta, steps=2), move(ROUGH, theta, half, tau=0.05), rtol=1e-12
    )


@pytest.mark.parametrize("scheme", ["explicit", "midpoint", "implicit"])
def test_an_interaction_moves_no_mean(scheme):
    moved = move(ATTRACTED, rough(ATTRACTED), scheme=scheme, weight=WEIGHT, steps=3)[0]
    np.testing.assert_allclose(WEIGHT @ moved, WEIGHT @ CLOUD, rtol=0, atol=1e-9)
    assert np.abs(moved - CLOUD).max() > 0.005


def test_order_of_the_particles_does_not_matter():
    order = np.random.default_rng(0).permutation(len(CLOUD))
    theta = rough(BOTH)
    moved = move(BOTH, theta, weight=WEIGHT)[0]
    again = move(BOTH, theta, CLOUD[order], weight=WEIGHT[order])[0]
    np.testing.assert_allclose(again, moved[order], rtol=1e-12)


def test_euler_maruyama_in_a_quadratic_well_is_ornstein_uhlenbeck():
    """DX = −kX dt + √(2β) dB: a mean of x e^{−kt}, a variance of β(1 − e^{−2kt})/k."""
    k, beta, t = 2.0, 0.7, 0.4
    start = np.broadcast_to([1.0, -3.0], (40_000, 2))
    moved = move(DIFFUSING, [k / 2, k / 2, beta], start, tau=t, steps=200)[0]
    variance = beta * (1 - np.exp(-2 * k * t)) / k
    error = np.sqrt(variance / len(start))
    np.testing.assert_allclose(
        moved.mean(axis=0), np.exp(-k * t) * start[0], rtol=0.003, atol=5 * error
    )
    # 0.007 is one Monte-Carlo error, 0.002 the bias of 200 steps
    np.testing.assert_allclose(np.cov(moved.T), variance * np.eye(2), atol=0.03 * variance)


def test_each_draw_moves_under_its_own_coefficients_and_noise():
    theta = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [2.0, 0.0, -1.0]])
    moved = move(DIFFUSING, theta, tau=0.2)
    np.testing.assert_allclose(moved[0], (1 - 0.4) * CLOUD, rtol=1e-12)
    shocks = (moved[1:3] - CLOUD) / np.sqrt(2 * 0.5 * 0.2)
    assert np.std(shocks) == pytest.approx(1.0, abs=0.3)
    assert not np.any(shocks[0] == shocks[1])
    # a negative β is no noise
    np.testing.assert_allclose(moved[3], CLOUD * [1 - 0.8, 1.0], rtol=1e-12)


def test_a_key_fixes_the_noise_and_without_noise_there_is_none():
    theta = [1.0, 1.0, 0.5]
    first, again, other = (move(DIFFUSING, theta, key=key) for key in (KEY, KEY, KEY + 1))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)
    still = advance(
        DIFFUSING,
        jnp.asarray([theta]),
        jnp.asarray(CLOUD)[None],
        jnp.full(40, 1 / 40),
        jnp.asarray(0.1),
        1,
        KEY[None],
        noisy=False,
    )
    np.testing.assert_allclose(still[0], 0.8 * CLOUD, rtol=1e-12)
