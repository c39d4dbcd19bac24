"""Features that change with time, and energies of them, as they are at one time."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.models.bases import Neural, Polynomial, Scaled, Stacked, Timed, clock
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.precision import double
from bayesjko.models.specification import decode, encode

SPAN = np.array([1.0, 5.0])
POINT = np.array([0.3, -0.7])


@pytest.fixture(autouse=True)
def float64():
    with double():
        yield


def timed(widths=(5, 3), time=2.0):
    network = Neural.initial(3, widths, 2.0, jax.random.PRNGKey(0))
    return Timed(jax.tree.map(lambda a: np.asarray(a, np.float64), network), np.array(time), SPAN)


@pytest.mark.parametrize(
    ("time", "place"), [(1.0, -1.0), (2.0, -0.5), (5.0, 1.0), (-3.0, -1.0), (9.0, 1.0)]
)
def test_time_is_one_more_coordinate_and_stands_still_beyond_the_span(time, place):
    reach = float(clock(SPAN, SPAN)[1])
    np.testing.assert_allclose(clock(np.asarray(time), SPAN), reach * place, rtol=1e-14)
    basis = timed()
    there = np.append(POINT, reach * place)
    np.testing.assert_allclose(
        basis.at(time).value(jnp.asarray(POINT)), basis.basis.value(jnp.asarray(there)), rtol=1e-14
    )


def test_slopes_and_curvatures_are_those_in_space():
    @jax.jit
    def compared(basis, x):
        bends = jax.hessian(basis.value)(x)
        curvature = jnp.trace(bends, axis1=1, axis2=2)
        slope = jax.jacfwd(basis.value)(x).T
        theta = jnp.linspace(-1.0, 2.0, basis.size)
        own = basis.gradient(x), basis.laplacian(x), basis.hessian(x, theta)
        return own, (slope, curvature, jnp.tensordot(theta, bends, 1))

    found, expected = compared(timed(), jnp.asarray(POINT))
    assert found[0].shape == (2, 3)
    for ours, autodiff in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, autodiff, rtol=1e-10, atol=1e-12)


def test_sums_and_scales_change_with_what_they_hold():
    plain = Polynomial.of_degree(2, 2)
    both = Scaled(Stacked((plain, timed())), np.arange(1.0, 9.0))
    early, late = (both.at(t).value(jnp.asarray(POINT)) for t in (1.0, 5.0))
    np.testing.assert_array_equal(early[:5], late[:5])
    assert np.all(early[5:] != late[5:])
    np.testing.assert_allclose(
        late[5:], both.scale[5:] * timed(time=5.0).value(jnp.asarray(POINT)), rtol=1e-14
    )


def test_an_energy_that_does_not_change_is_itself_at_all_times():
    plain = Polynomial.of_degree(2, 2)
    for potential in (None, plain, Scaled(Stacked((plain, plain)), np.ones(10))):
        energy = LinearEnergy(potential, plain, internal=True)
        assert energy.at(3.0) is energy
        assert not energy.timed
    energy = LinearEnergy(timed(), plain, internal=True)
    assert energy.timed
    assert energy.at(3.0).potential.time == 3.0
    assert energy.at(3.0).sizes == energy.sizes


def test_all_times_are_compiled_at_once():
    compiled = []

    @eqx.filter_jit
    def value(energy, x):
        compiled.append(1)
        return energy.potential.value(x)

    energy = LinearEnergy(timed())
    values = [value(energy.at(t), jnp.asarray(POINT)) for t in (1.0, 2.0, 3.5)]
    assert len(compiled) == 1
    assert not np.array_equal(values[0], values[1])


def test_a_file_holds_it_to_the_bit():
    basis = timed()
    again = decode(json.loads(json.dumps(encode(basis))))
    assert again.time.shape == ()
    for ours, theirs in zip(jax.tree.leaves(basis), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(ours, theirs)
