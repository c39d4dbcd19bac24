"""Every potential against its formula written a second time, in plain floats."""

from __future__ import annotations

from math import atan2, cos, exp, pi, sin, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.models.precision import double
from bayesjko.potentials import CHAINED, POTENTIALS


def halves(x):
    h = len(x) // 2
    return sum(x[:h]) / h, sum(x[h:]) / (len(x) - h)


def holder_table(x):
    a, b = halves(x)
    radius = sqrt(sum(v * v for v in x))
    return 10 * abs(sin(a) * cos(b) * exp(abs(1 - radius / pi)))


def ishigami(x):
    a, b = halves(x)
    return sin(a) + 7 * sin(b) ** 2 + 0.1 * ((a + b) / 2) ** 4 * sin(a)


def friedman(x):
    a, b = halves(x)
    p, q = 2 * a - 14, b - 7
    value = 10 * sin(pi * p * q) + 20 * (p * sin(q) - 0.5) ** 2
    return (value + 10 * (p * cos(q) - 1) ** 2 + 0.1 * q * sin(p)) / 100


def bohachevsky(x):
    a, b = halves(x)
    return 10 * a**2 + 20 * b**2 - 3 * cos(3 * pi * a) - 4 * cos(4 * pi * b)


def rotational(x):
    a, b = halves(x)
    return -500 * atan2(b + 5, a + 5) - 500 * pi


def well(x):
    return x[0] ** 4 - 2 * x[0] ** 2 + 1 + sum(v * v for v in x[1:])


PLAIN = {
    "styblinski_tang": lambda x: sum(v**4 - 16 * v**2 + 5 * v for v in x) / 2,
    "holder_table": holder_table,
    "flowers": lambda x: sum(v + 2 * sin(abs(v) ** 1.2) for v in x),
    "oakley_ohagan": lambda x: sum(5 * sin(v) + 5 * cos(v) + 5 * v * v + 5 * v for v in x),
    "watershed": lambda x: sum(
        0.1 * u + 0.1 * u * u * v + 0.4 * u * u for u, v in zip(x, x[1:], strict=False)
    ),
    "ishigami": ishigami,
    "friedman": friedman,
    "sphere": lambda x: -10 * sum(v * v for v in x),
    "bohachevsky": bohachevsky,
    "wavy_plateau": lambda x: sum(cos(pi * v) + v**4 / 2 - 3 * v * v + 1 for v in x),
    "zigzag_ridge": lambda x: sum(
        (u - v) ** 2 + cos(u) * (u + v) + u * u * v for u, v in zip(x, x[1:], strict=False)
    ),
    "double_exp": lambda x: sum(200 * exp(-sum((v - c) ** 2 for v in x) / 20) for c in (3, -3)),
    "relu": lambda x: -50 * sum(v for v in x if v > 0),
    "rotational": rotational,
    "flat": lambda x: 0.0,
    "double_well": well,
    "tilted_double_well": lambda x: well(x) + 0.5 * x[0] + 0.3 * x[0] * x[1],
    "gaussian": lambda x: -exp(-sum(v * v for v in x) / 2),
    "quadratic": lambda x: sum(v * v for v in x) / 2,
}


def slope(function, x, step=1e-5):
    """Central differences."""
    shifts = step * np.eye(len(x))
    return [
        (function(list(x + shift)) - function(list(x - shift))) / (2 * step) for shift in shifts
    ]


def test_the_table_has_the_benchmark_and_our_own():
    assert set(POTENTIALS) == set(PLAIN)
    assert all(name == function.__name__ for name, function in POTENTIALS.items())


@pytest.mark.parametrize("name", POTENTIALS)
def test_value_and_gradient_are_the_formulas(name):
    rng = np.random.default_rng(7)
    with double():
        both = jax.jit(jax.vmap(jax.value_and_grad(POTENTIALS[name])))
        for dimension in (2, 5):
            x = rng.uniform(-4, 4, (12, dimension))
            value, gradient = both(jnp.asarray(x))
            expected = [PLAIN[name](list(point)) for point in x]
            np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-11)
            slopes = [slope(PLAIN[name], point) for point in x]
            np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", POTENTIALS)
def test_a_particle_that_meets_itself_feels_a_symmetric_slope(name):
    with double():
        found = jax.grad(POTENTIALS[name])(jnp.zeros(2))
    np.testing.assert_allclose(found, slope(PLAIN[name], np.zeros(2)), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(POTENTIALS) - CHAINED))
def test_one_dimension_is_enough(name):
    if name in ("holder_table", "ishigami", "friedman", "bohachevsky", "rotational"):
        x, same = np.array([0.7]), [0.7, 0.7]  # one coordinate is both halves
    else:
        x, same = np.array([0.7]), [0.7]
    with double():
        value, gradient = jax.value_and_grad(POTENTIALS[name])(jnp.asarray(x))
    assert np.all(np.isfinite(gradient))
    if name not in ("holder_table", "tilted_double_well"):  # they see |x| and x₂ beside
        assert value == pytest.approx(PLAIN[name](same), rel=1e-12, abs=1e-12)
