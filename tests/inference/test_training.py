"""The loss that networks are trained on."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from bayesjko.inference.training import Network, Trained, _misfit, _Pairs
from bayesjko.models.bases import Even, Neural
from bayesjko.models.precision import double

RNG = np.random.default_rng(5)


def network(hidden, size):
    return Network(hidden, jnp.asarray(RNG.normal(size=size)))


def test_particles_felt_in_a_step_leave_no_bias():
    """On average over what is drawn it is the loss with the force of the whole population."""
    with double():
        potential, felt = (
            Neural((RNG.normal(size=(5, 2)),), (RNG.normal(size=5),)) for _ in range(2)
        )
        model = Trained(network(potential, 5), network(Even(felt), 5), jnp.asarray([0.7]))
        cloud = RNG.normal(size=(6, 2))
        z, move, tau, design = RNG.normal(size=2), RNG.normal(size=2), 0.3, RNG.normal(size=(2, 1))
        parts = (z, move, tau, 1.0, design, 0, np.zeros(0))
        pair = jax.tree.map(lambda a: a[0], _Pairs(*(jnp.asarray(part)[None] for part in parts)))
        drawn = np.array(list(itertools.product(cloud, cloud)))[:, :, None]  # one, twice
        found = np.mean(jax.jit(jax.vmap(lambda each: _misfit(model, pair, each)))(drawn))

        def energy(x):
            """V + W∗ρ, from the weights themselves."""

            def layer(net, x):
                return jnp.logaddexp(net.weights[0] @ x + net.biases[0], 0.0)

            pairs = [0.5 * (layer(felt, x - y) + layer(felt, y - x)) for y in cloud]
            w = jnp.mean(jnp.stack(pairs), axis=0) @ model.interaction.last
            return layer(potential, x) @ model.potential.last + w

        force = -jax.jit(jax.grad(energy))(z) + design @ np.array([0.7])
        np.testing.assert_allclose(found, np.sum((move - tau * force) ** 2) / tau, rtol=1e-10)
