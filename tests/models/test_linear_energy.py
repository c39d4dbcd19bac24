"""The energy's parts against each other: functional, first variation, force, scaling."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.models.data import Snapshots
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.errors import InputError
from bayesjko.models.precision import double
from bayesjko.models.specification import decode, encode

RNG = np.random.default_rng(5)
SNAPSHOTS = Snapshots(
    np.array([0.0, 1.0, 2.5]),
    tuple(RNG.normal(size=(n, 2)) + shift for n, shift in [(30, 0.0), (22, 0.4), (30, 0.9)]),
)
CLOUD = SNAPSHOTS.particles[1]
WEIGHT = RNG.dirichlet(np.full(len(CLOUD), 3.0))

TERMS = {
    "potential": {"potential": "poly:3+rbf:4"},
    "interaction": {"potential": "none", "interaction": "fourier:5"},
    "internal": {"potential": "none", "internal": True},
    "all": {"potential": "poly:3", "interaction": "rbf:4+poly:2", "internal": True},
}


@pytest.fixture(autouse=True)
def float64():
    with double():
        yield


@pytest.fixture(params=TERMS)
def energy(request):
    return build_linear_energy(SNAPSHOTS, **TERMS[request.param], seed=1)


@eqx.filter_jit
def slope_of(field, felt, x):
    return jax.jacfwd(lambda z: field.value(z) @ felt)(x)


@eqx.filter_jit
def mean_square(basis, cloud):
    return jnp.mean(jax.vmap(basis.gradient)(cloud) ** 2, axis=(0, 1))


def field_of(energy, cloud=CLOUD, weight=WEIGHT):
    return energy.around(jnp.asarray(cloud), jnp.asarray(weight))


def test_the_design_is_minus_the_gradient_of_the_first_variation(energy):
    field = field_of(energy)
    theta = jnp.asarray(np.random.default_rng(0).normal(size=energy.size))
    felt = theta[: energy.size - energy.internal]
    for x, score in RNG.normal(size=(3, 2, 2)):
        slope = slope_of(field, felt, jnp.asarray(x))
        np.testing.assert_allclose(field.drift_design(jnp.asarray(x)) @ felt, -slope, rtol=1e-10)
        force = -slope - (theta[-1] * score if energy.internal else 0.0)
        design = field.design(jnp.asarray(x), jnp.asarray(score))
        assert design.shape == (2, energy.size)
        np.testing.assert_allclose(design @ theta, force, rtol=1e-10)


def test_the_force_on_a_particle_is_minus_the_slope_of_the_functional():
    """J of the weighted cloud, by its definition; moving particle p changes it by −w_p f·dx."""
    energy = build_linear_energy(SNAPSHOTS, potential="poly:3", interaction="rbf:4+poly:2", seed=1)
    rng = np.random.default_rng(1)
    potential, interaction = (
        jnp.asarray(rng.normal(size=energy.sizes[term])) for term in ("potential", "interaction")
    )
    weight = jnp.asarray(WEIGHT)

    def functional(cloud):
        gaps = (cloud[:, None] - cloud).reshape(-1, 2)
        values = jax.vmap(energy.interaction.value)(gaps).reshape(len(cloud), len(cloud), -1)
        outside = weight @ jax.vmap(energy.potential.value)(cloud) @ potential
        return outside + 0.5 * weight @ (values @ interaction) @ weight

    slope = jax.jit(jax.grad(functional))(jnp.asarray(CLOUD))
    field = field_of(energy)
    drift = jax.vmap(field.drift_design)(jnp.asarray(CLOUD)) @ jnp.concatenate(
        [potential, interaction]
    )
    np.testing.assert_allclose(-drift * weight[:, None], slope, rtol=1e-8, atol=1e-10)


def test_features_have_unit_rms_gradient_on_the_data():
    energy = build_linear_energy(SNAPSHOTS, potential="poly:3+rbf:4", interaction="fourier:5")
    felt, own = [], []
    for cloud in map(jnp.asarray, SNAPSHOTS.particles):
        around = field_of(energy, cloud, np.full(len(cloud), 1 / len(cloud)))
        own.append(mean_square(around.potential, cloud))
        felt.append(mean_square(around.interaction, cloud))
    np.testing.assert_allclose(np.mean(own, axis=0), 1.0, rtol=1e-10)
    np.testing.assert_allclose(np.mean(felt, axis=0), 1.0, rtol=1e-10)


def test_order_and_splitting_of_the_population_change_nothing(energy):
    order = np.random.default_rng(0).permutation(len(CLOUD) + 1)
    cloud = np.concatenate([CLOUD, CLOUD[:1]])[order]
    halves = np.concatenate([WEIGHT, WEIGHT[:1]])
    halves[[0, -1]] /= 2
    x = jnp.asarray([0.3, -0.2])
    found = field_of(energy, cloud, halves[order]).drift_design(x)
    np.testing.assert_allclose(found, field_of(energy).drift_design(x), rtol=1e-11, atol=1e-13)


def test_terms_lie_side_by_side(energy):
    places = [np.arange(energy.size)[where] for where in energy.slices.values()]
    np.testing.assert_array_equal(np.concatenate(places), np.arange(energy.size))
    assert {term: len(place) for term, place in zip(energy.slices, places, strict=True)} == (
        energy.sizes
    )
    assert list(energy.sizes) == [
        term for term in ("potential", "interaction", "internal") if getattr(energy, term)
    ]


def test_an_energy_survives_json_to_the_bit(energy):
    written = json.dumps(encode(energy))
    again = decode(json.loads(written))
    assert json.dumps(encode(again)) == written
    x, score = jnp.asarray([0.3, -0.2]), jnp.asarray([1.0, 2.0])
    np.testing.assert_array_equal(
        field_of(again).design(x, score), field_of(energy).design(x, score)
    )


def test_the_internal_energy_alone_has_a_first_variation_without_features():
    field = field_of(build_linear_energy(SNAPSHOTS, potential="none", internal=True))
    x, score = jnp.asarray([0.3, -0.2]), jnp.asarray([1.0, 2.0])
    assert field.value(x).shape == (0,)
    assert field.drift_design(x).shape == (2, 0)
    np.testing.assert_array_equal(field.design(x, score), [[-1.0], [-2.0]])


def test_a_seed_fixes_the_energy():
    texts = [
        json.dumps(encode(build_linear_energy(SNAPSHOTS, potential="rbf:5", seed=seed)))
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_no_term_is_told():
    with pytest.raises(InputError, match="no term"):
        build_linear_energy(SNAPSHOTS, potential="none")
