"""Laws that every basis keeps, from one table of all that `build_basis` can be asked for."""

import json
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.models.bases import (
    Basis,
    BasisError,
    Polynomial,
    Scaled,
    build_basis,
    polynomial,
)
from bayesjko.models.bases.basis import _BLOCK
from bayesjko.models.bases.fourier import sine
from bayesjko.models.precision import double
from bayesjko.models.specification import decode, encode

RNG = np.random.default_rng(7)
DATA = RNG.normal(size=(60, 2)) * [1.0, 1.4]
CLOUD = RNG.normal(size=(9, 2))
WEIGHT = RNG.dirichlet(np.ones(9))
# the origin and an axis among them: where a power may become 0/0
POINTS = np.concatenate([[[0.0, 0.0], [0.7, 0.0]], RNG.normal(size=(4, 2))])

NAMES = ["poly:4", "powers:3", "rbf:6", "fourier:7:0.8", "poly:2+rbf:3:0.6"]
EVEN = [f"even {name}" for name in NAMES]


@cache
def construct(label):
    """A member of the table: `poly:4`, `even poly:4`, either `felt` (averaged), or `scaled`."""
    *kinds, name = label.split(" ")
    basis = build_basis(name, DATA, even="even" in kinds, seed=3)
    if "scaled" in kinds:
        basis = Scaled(basis, np.linspace(0.5, 2.0, basis.size))
    if "felt" in kinds:
        basis = basis.convolve(jnp.asarray(CLOUD), jnp.asarray(WEIGHT))
    return basis


PLAIN = [*NAMES, *EVEN, "scaled poly:2+fourier:3"]
EVERY = [*PLAIN, *(f"felt {label}" for label in PLAIN)]


@pytest.fixture(autouse=True)
def float64():
    with double():
        yield


@eqx.filter_jit
def at(basis, points):
    """Value, gradient and Laplacian at points."""
    return tuple(jax.vmap(f)(points) for f in (basis.value, basis.gradient, basis.laplacian))


@eqx.filter_jit
def differentiated(basis, points):
    jacobian = jax.vmap(jax.jacfwd(basis.value))(points)
    hessian = jax.vmap(jax.jacfwd(jax.jacfwd(basis.value)))(points)
    return jnp.swapaxes(jacobian, 1, 2), jnp.trace(hessian, axis1=2, axis2=3)


@pytest.mark.parametrize("label", EVERY)
def test_derivatives_match_autodiff(label):
    basis = construct(label)
    value, gradient, laplacian = at(basis, POINTS)
    assert value.shape == (len(POINTS), basis.size)
    expected_gradient, expected_laplacian = differentiated(basis, POINTS)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(laplacian, expected_laplacian, rtol=1e-11, atol=1e-10)


@eqx.filter_jit
def bent(basis, points, coefficients):
    """The Hessian of all features together, and what autodiff makes of their values."""

    def total(x):
        return basis.value(x) @ coefficients

    return tuple(
        jax.vmap(f)(points)
        for f in (lambda x: basis.hessian(x, coefficients), jax.jacfwd(jax.jacfwd(total)))
    )


@pytest.mark.parametrize("label", EVERY)
def test_hessians_match_autodiff(label):
    basis = construct(label)
    found, expected = bent(basis, POINTS, jnp.linspace(-1.0, 2.0, basis.size))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-10)


def test_hessians_of_many_monomials_match_autodiff(monkeypatch):
    basis = Polynomial.of_degree(4, 3)
    points, theta = RNG.normal(size=(5, 3)), jnp.asarray(RNG.normal(size=basis.size))
    unrolled, expected = bent(basis, points, theta)
    monkeypatch.setattr(polynomial, "_UNROLLED", 0)
    jax.clear_caches()
    for found in (unrolled, bent(basis, points, theta)[0]):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-10)


def test_derivatives_of_monomials_in_many_dimensions_match_autodiff():
    basis = Polynomial.of_degree(3, 5)
    points, theta = RNG.normal(size=(6, 5)), jnp.asarray(RNG.normal(size=basis.size))
    points[0], points[1, :2] = 0.0, 0.0
    _, gradient, laplacian = at(basis, points)
    for found, expected in (
        *zip((gradient, laplacian), differentiated(basis, points), strict=True),
        bent(basis, points, theta),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("label", PLAIN)
def test_an_average_over_a_cloud_is_the_sum_over_its_particles(label):
    basis = construct(label)
    offsets = (POINTS[:, None] - CLOUD).reshape(-1, 2)
    for found, each in zip(at(construct(f"felt {label}"), POINTS), at(basis, offsets), strict=True):
        each = np.reshape(each, (len(POINTS), len(CLOUD), *each.shape[1:]))
        expected = np.einsum("p,np...->n...", WEIGHT, each)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("label", PLAIN)
def test_a_split_particle_and_another_order_change_no_average(label):
    basis = construct(label)
    order = np.random.default_rng(0).permutation(len(CLOUD) + 1)
    split = np.concatenate([CLOUD, CLOUD[:1]])[order]
    halves = np.concatenate([WEIGHT, WEIGHT[:1]])
    halves[[0, -1]] /= 2
    felt = basis.convolve(jnp.asarray(split), jnp.asarray(halves[order]))
    whole = at(construct(f"felt {label}"), POINTS)
    for found, expected in zip(at(felt, POINTS), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("label", EVEN)
def test_even_features_are_even(label):
    here, there = at(construct(label), POINTS), at(construct(label), -POINTS)
    for found, mirrored, sign in zip(there, here, (1, -1, 1), strict=True):
        np.testing.assert_allclose(found, sign * mirrored, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("label", EVERY)
def test_a_basis_survives_json_to_the_bit(label):
    basis = construct(label)
    written = json.dumps(encode(basis))
    again = decode(json.loads(written))
    assert type(again) is type(basis)
    assert json.dumps(encode(again)) == written
    for found, expected in zip(at(again, POINTS), at(basis, POINTS), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("label", ["poly:4", "rbf:6", "fourier:7:0.8", "felt even rbf:6"])
def test_one_point_without_compilation_agrees_with_many_under_jit(label):
    basis = construct(label)
    value, gradient, laplacian = at(basis, POINTS)
    x = jnp.asarray(POINTS[3])
    np.testing.assert_allclose(basis.value(x), value[3], rtol=1e-12)
    np.testing.assert_allclose(basis.gradient(x), gradient[3], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(basis.laplacian(x), laplacian[3], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("label", ["poly:4", "fourier:7:0.8"])
def test_large_clouds_are_averaged_in_blocks(label):
    """Blocks that do not divide the cloud leave nothing out and count nothing twice."""
    rng = np.random.default_rng(1)
    cloud, weight = rng.normal(size=(_BLOCK + 1000, 2)), rng.dirichlet(np.ones(_BLOCK + 1000))
    basis = construct(label)
    felt = basis.convolve(jnp.asarray(cloud), jnp.asarray(weight))
    expected = weight @ at(basis, POINTS[3] - cloud)[0]
    np.testing.assert_allclose(felt.value(jnp.asarray(POINTS[3])), expected, rtol=1e-10)


@pytest.mark.parametrize("label", ["even poly:4", "even fourier:50", "even rbf:50"])
def test_an_average_needs_no_array_over_pairs(label):
    """20,000 points felt by 20,000 particles: one array over pairs would take 3 GB."""
    basis = construct(label)
    points, weight = jnp.zeros((20_000, 2)), jnp.full(20_000, 1 / 20_000)

    def gradients(basis, points, weight):
        return jax.vmap(basis.convolve(points, weight).gradient)(points)

    memory = jax.jit(gradients).lower(basis, points, weight).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 10 * points.nbytes * basis.size


def test_a_new_basis_needs_no_more_than_a_value():
    class Waves(Basis):
        size = 2

        def value(self, x):
            return jnp.stack([jnp.sin(x[0]) * x[1], jnp.prod(x) ** 2])

    felt = Waves().convolve(jnp.asarray(CLOUD), jnp.asarray(WEIGHT))
    for basis in (Waves(), felt):
        _, gradient, laplacian = at(basis, POINTS)
        expected_gradient, expected_laplacian = differentiated(basis, POINTS)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12)
        np.testing.assert_allclose(laplacian, expected_laplacian, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "even", "size"),
    [
        ("poly:4", False, 14),  # (4+2 choose 2) − 1
        ("poly:4", True, 8),  # 3 of degree two, 5 of degree four
        ("rbf:6", False, 5 + 6),  # with linear and square terms
        ("rbf:6", True, 6),
        ("rbf:400", True, 30),  # no more than a bump for two of the 60 points
        ("fourier:7", False, 5 + 7),
        ("fourier:7", True, 7),
        ("poly:1 + rbf:2:0.5", False, 2 + 5 + 2),
    ],
)
def test_names_mean_so_many_features(name, even, size):
    basis = build_basis(name, DATA, even=even)
    assert basis.size == size
    assert basis.value(jnp.asarray(POINTS[2])).shape == (size,)


def test_monomials_come_by_degree_and_scale_to_many_dimensions():
    assert Polynomial.of_degree(2, 2).exponents == ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    assert Polynomial.of_degree(2, 60).size == 60 + 60 * 61 // 2
    felt = Polynomial.of_degree(2, 20, even=True).convolve(jnp.ones((3, 20)), jnp.ones(3) / 3)
    assert felt.size == 20 * 21 // 2


def test_values_are_the_ones_the_names_promise():
    x = jnp.asarray([0.3, -0.8])
    np.testing.assert_allclose(build_basis("poly:2", DATA).value(x), [0.3, -0.8, 0.09, -0.24, 0.64])
    bumps = build_basis("rbf:4:0.6", DATA).parts[1]
    gaps = np.asarray(x) - bumps.centres
    np.testing.assert_allclose(bumps.value(x), np.exp(-np.sum(gaps**2, axis=1) / (2 * 0.6**2)))
    waves = build_basis("fourier:4:0.5", DATA, seed=1).parts[1]
    angle = waves.frequencies[::2] @ np.asarray(x)
    np.testing.assert_allclose(waves.value(x)[::2], np.cos(angle))
    np.testing.assert_allclose(waves.value(x)[1::2], np.sin(angle))


def test_frequencies_have_the_inverse_of_the_width_as_spread():
    waves = build_basis("fourier:4000:0.25", DATA, even=True)
    assert np.std(waves.frequencies) == pytest.approx(4.0, rel=0.05)


def test_sines_are_those_of_libm():
    angles = np.concatenate([RNG.uniform(-r, r, 2000) for r in (1.0, 30.0, 1e6)])
    np.testing.assert_allclose(sine(jnp.asarray(angles)), np.sin(angles), rtol=0, atol=5e-16)
    slope = jax.vmap(jax.grad(sine))(jnp.asarray(angles))
    np.testing.assert_allclose(slope, np.cos(angles), rtol=0, atol=1e-15)


def test_a_seed_fixes_centres_and_frequencies():
    for name in ("rbf:6", "fourier:6"):
        same = [json.dumps(encode(build_basis(name, DATA, seed=s))) for s in (0, 0, 1)]
        assert same[0] == same[1] != same[2]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("spline:4", "Unknown basis 'spline:4'"),
        ("poly:4+", "Unknown basis ''"),
        ("", "Unknown basis ''"),
        ("poly", "too many or too few numbers"),
        ("poly:4:2", "too many or too few numbers"),
        ("poly:four", "'four'"),
        ("poly:inf", "infinity"),
        ("poly:2.5", "whole number"),
        ("poly:0", "at least 1"),
        ("poly:400", "over 20000 monomials"),
        ("rbf:-3", "at least 1"),
        ("rbf:5:0", "width must be positive"),
        ("rbf:5:-1", "width must be positive"),
        ("fourier:1", "at least 2"),
        ("fourier:4:nan", "width must be positive"),
    ],
)
def test_names_that_mean_nothing_are_told(name, said):
    with pytest.raises(BasisError, match=said.replace("(", r"\(")) as caught:
        build_basis(name, DATA)
    assert str(caught.value).count(".") >= 1
    assert "\n" not in str(caught.value)


def test_odd_degrees_alone_are_no_interaction():
    with pytest.raises(BasisError, match="at least 2"):
        build_basis("poly:1", DATA, even=True)
