"""Networks as bases: their features, their names, and files that hold them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from bayesjko.models.bases import Even, Neural, Tangent, widths_of
from bayesjko.models.bases.neural import layers_of, weight_slopes
from bayesjko.models.precision import double
from bayesjko.models.specification import decode, encode


def network(widths=(5, 3), dimension=2, seed=0):
    return Neural.initial(dimension, widths, 2.0, jax.random.PRNGKey(seed))


def test_features_are_the_last_hidden_layer():
    with double():
        net = network()
        assert net.size == 3
        x = np.array([0.3, -0.7])
        first = np.log1p(np.exp(np.asarray(net.weights[0]) @ x + np.asarray(net.biases[0])))
        second = np.log1p(np.exp(np.asarray(net.weights[1]) @ first + np.asarray(net.biases[1])))
        np.testing.assert_allclose(net.value(jnp.asarray(x)), second, rtol=1e-6)
        # slope against differences
        step = 1e-5 * np.eye(2)
        slope = [
            (net.value(jnp.asarray(x + h)) - net.value(jnp.asarray(x - h))) / 2e-5 for h in step
        ]
        np.testing.assert_allclose(net.gradient(jnp.asarray(x)), slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("widths", [(4,), (5, 3)])
def test_the_even_part_of_a_network_is_even_and_its_slopes_are_autodiffs(widths):
    @jax.jit
    def compared(basis, x):
        found = basis.value(x), basis.gradient(x), basis.laplacian(x)
        expected = jax.jacfwd(basis.value)(x).T
        curvature = jnp.trace(jax.hessian(basis.value)(x), axis1=1, axis2=2)
        return *found, expected, curvature

    with double():
        for basis in (network(widths), Even(network(widths))):
            for x in points(3):
                value, slope, laplacian, expected, curvature = compared(basis, x)
                np.testing.assert_allclose(slope, expected, rtol=1e-10, atol=1e-12)
                np.testing.assert_allclose(laplacian, curvature, rtol=1e-9, atol=1e-11)
        there = compared(basis, -x)  # of the even part
        np.testing.assert_allclose(there[0], value, rtol=1e-14)
        np.testing.assert_allclose(there[1], -slope, rtol=1e-14)


def test_the_first_layer_starts_steeper_by_the_frequency():
    plain = Neural.initial(2, (5, 3), 1.0, jax.random.PRNGKey(0))
    np.testing.assert_allclose(network().weights[0], 2.0 * plain.weights[0])
    np.testing.assert_allclose(network().weights[1], plain.weights[1])


def test_a_file_holds_a_network_to_the_bit():
    net = network()
    again = decode(json.loads(json.dumps(encode(net))))
    for ours, theirs in zip(jax.tree.leaves(net), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "widths"),
    [("mlp:64,64", (64, 64)), ("mlp", (64, 64)), ("mlp:8", (8,)), ("rbf:100", None)],
)
def test_names_of_networks(name, widths):
    assert widths_of(name) == widths


@pytest.mark.parametrize("name", ["mlp:", "mlp:0", "mlp:a", "mlp:64,", "mlp:-3", "mlp:4096"])
def test_names_that_mean_nothing(name):
    if name == "mlp:":
        assert widths_of(name) == (64, 64)
        return
    with pytest.raises(ValueError, match="."):
        widths_of(name)


def points(count=6, dimension=2):
    return jnp.asarray(np.random.default_rng(0).normal(size=(count, dimension)))


def test_a_tangent_is_the_slope_of_the_network_in_its_weights():
    last = np.array([0.5, -1.0, 2.0])
    with double():
        hidden = jax.tree.map(lambda a: np.asarray(a, np.float64), network())
        flat, unravel = ravel_pytree((hidden, jnp.asarray(last)))
        rows = np.random.default_rng(1).normal(size=(4, flat.size))
        found = Tangent(hidden, last, rows)
        assert found.size == 4

        def height(x, change):
            moved, top = unravel(flat + change)
            return moved.value(x) @ top

        for x in points():
            each = [(height(x, 1e-5 * r) - height(x, -1e-5 * r)) / 2e-5 for r in rows]
            np.testing.assert_allclose(found.value(x), each, rtol=1e-5, atol=1e-8)
        slopes = weight_slopes(hidden, jnp.asarray(last), points())
        gradients = jax.vmap(found.gradient)(points())
        np.testing.assert_allclose(slopes @ rows.T, gradients, rtol=1e-9, atol=1e-12)


def test_the_layers_of_all_weights_are_apart():
    found = layers_of(network(), np.zeros(3))
    assert [len(rows) for rows in found] == [2 * 5 + 5, 5 * 3 + 3, 3]
    assert sorted(np.concatenate(found)) == list(range(36))
