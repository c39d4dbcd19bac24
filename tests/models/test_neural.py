"""Networks as bases: their features, their names, and files that hold them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.models.bases import Neural, widths_of
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
