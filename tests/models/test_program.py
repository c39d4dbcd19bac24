"""The probabilistic program: the density it states, whatever coordinates it is sampled in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer.util import log_density

from bayesjko.inference.target import target_of
from bayesjko.models.precision import double
from bayesjko.models.priors import PRIORS
from bayesjko.models.program import EnergyLikelihood, LinearProgram

SLICES = {"potential": slice(0, 2), "interaction": slice(2, 4), "internal": slice(4, 5)}
SIZE, PERIODS = 5, 2
SCALES = ("scale", "variance")
BASE = np.array([0.5, 2.0, 1.0, 0.3, 0.01])


def likelihood(seed=0, **changes):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, SIZE * PERIODS))
    y = x @ rng.normal(size=SIZE * PERIODS) + rng.normal(size=30)
    return EnergyLikelihood(
        x.T @ x, x.T @ y, float(y @ y), **({"count": 30.0, "noise": 0.7} | changes)
    )


def positions(size, count=5):
    return np.random.default_rng(1).normal(size=(count, size))


def test_under_a_normal_prior_every_coordinate_is_standard_normal():
    data = likelihood()
    with double():
        target = target_of(LinearProgram(data, BASE, SLICES))
        at = positions(target.size)
        found, sites, _, _ = _views(target)(jnp.asarray(at))
    shape = np.asarray(found) + 0.5 * np.sum(at**2, axis=1)
    np.testing.assert_allclose(shape, shape[0], atol=1e-9)
    # and the coefficients are those of the posterior N(m, P⁻¹)
    precision = data.gram / 0.7 + np.diag(np.tile(BASE, PERIODS))
    off = np.asarray(sites["coefficients"]).reshape(len(at), -1)
    off = off - np.linalg.solve(precision, data.moment / 0.7)
    np.testing.assert_allclose(
        np.einsum("ni,ij,nj->n", off, precision, off), np.sum(at**2, axis=1), rtol=1e-9
    )


@pytest.mark.parametrize("prior", PRIORS)
def test_the_density_is_prior_times_likelihood_in_coordinates_of_its_own(prior):
    """By change of variables: p(sites)·|∂(θ, β, log s²)/∂(their coordinates)|."""
    data = likelihood(noise=None)
    program = LinearProgram(
        data, BASE, SLICES, prior, guess=0.5, rate=0.2, shape=1.5, conditional=prior == "normal"
    )
    with double():
        target = target_of(program)
        at = positions(target.size, 3)
        stated, sites, jacobian, scales = _views(target)(jnp.asarray(at))
        expected = [
            _log_joint(program, data, {name: np.asarray(v)[i] for name, v in sites.items()})
            for i in range(len(at))
        ]
    # the scales' own coordinates move θ as well, which is no volume
    own = ~np.any(np.asarray(scales) != 0.0, axis=(0, 1))
    expected += np.linalg.slogdet(np.asarray(jacobian)[:, :, own])[1]
    np.testing.assert_allclose(stated - stated[0], expected - expected[0], rtol=1e-8, atol=1e-8)


def _views(target):
    """At each position: the density, the sites, the slope of (θ, log s²) and that of the scales."""

    def known(z):
        found = target.constrain(z)
        return jnp.append(jnp.ravel(found["coefficients"]), jnp.log(found["noise"]))

    def scales(z):
        found = target.constrain(z)
        return jnp.concatenate(
            [jnp.zeros(1), *(jnp.ravel(v) for k, v in found.items() if k.endswith(SCALES))]
        )

    def all_of(z):
        slopes = jax.jacfwd(known)(z), jax.jacfwd(scales)(z)
        return target.log_density(z), target.constrain(z), *slopes

    return jax.jit(jax.vmap(all_of))


def _log_joint(program, data, sites):
    """Of the scales in their logarithms, of θ, of log s² and of the data."""
    theta, noise = sites["coefficients"], float(sites["noise"])
    terms = {k: v for k, v in SLICES.items() if k != "internal"}
    size = SIZE if program.prior == "normal" else SIZE - 1
    with trace() as seen, seed(rng_seed=0):
        PRIORS[program.prior](terms, size)
    total = sum(
        float(np.sum(seen[name]["fn"].log_prob(value)) + np.sum(np.log(value)))
        for name, value in sites.items()
        if name.endswith(SCALES)
    )
    relative = np.append(_relative(program.prior, sites, size), 1.0)[:SIZE]
    each = np.tile(relative * BASE / (noise if program.conditional else 1.0), (PERIODS, 1))
    total += 0.5 * np.sum(np.log(each)) - 0.5 * np.sum(each * theta**2)
    total += -program.shape * np.log(noise) - program.rate / noise
    flat = theta.ravel()
    square = flat @ data.gram @ flat - 2.0 * data.moment @ flat + data.square
    return total - 0.5 * square / noise - 0.5 * data.count * np.log(noise)


def _relative(prior, asked, size):
    if prior == "hierarchical":
        return np.repeat(
            [float(asked[f"{t}_scale"]) ** -2 for t in ("potential", "interaction")], 2
        )
    if prior == "ard":
        return np.asarray(asked["coefficient_scale"]) ** -2.0
    if prior == "horseshoe":
        wide = float(asked["overall_scale"]) * np.asarray(asked["coefficient_scale"])
        return 1.0 / float(asked["slab_variance"]) + wide**-2.0
    return np.ones(size)


@pytest.mark.parametrize(
    ("prior", "power"), [("half-normal", 0.0), ("amplitude", -0.5), ("vague", -0.75)]
)
def test_a_bounded_beta_is_never_negative_and_has_its_density(prior, power):
    data = likelihood()
    with double():
        target = target_of(LinearProgram(data, BASE, SLICES, "normal", prior))
        at = 2.0 * positions(target.size, 50)
        stated, sites, jacobian, _ = _views(target)(jnp.asarray(at))
    theta = np.asarray(sites["coefficients"])
    assert theta[..., 4].min() > 0.0
    # apart from the sign it is the normal program
    flat = theta.reshape(len(at), -1)
    square = np.einsum("ni,ij,nj->n", flat, data.gram, flat) - 2.0 * flat @ data.moment
    expected = -0.5 * square / 0.7 - 0.5 * flat**2 @ np.tile(BASE, PERIODS)
    expected += np.linalg.slogdet(np.asarray(jacobian)[:, :-1])[1]
    expected += power * np.log(theta[..., 4]).sum(axis=1)
    np.testing.assert_allclose(stated - stated[0], expected - expected[0], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("mean", [-6.0, -1.0, 0.5, 6.0])
def test_a_beta_cut_at_zero_is_standard_normal_as_well(mean):
    """However far below zero its estimate is."""
    precision = 4.0 + BASE[4]
    likelihood = EnergyLikelihood(np.array([[4.0]]), np.array([mean * precision]))
    program = LinearProgram(
        likelihood, BASE[4:], {"internal": slice(0, 1)}, "normal", "half-normal"
    )
    with double():
        target = target_of(program)
        at = np.linspace(-3.0, 3.0, 7)[:, None]
        stated, sites, jacobian, _ = _views(target)(jnp.asarray(at))
    stated = np.asarray(stated)
    np.testing.assert_allclose(stated + 0.5 * at[:, 0] ** 2, stated[3], atol=1e-6)
    beta = np.asarray(sites["coefficients"]).ravel()
    assert beta.min() > 0.0
    expected = -0.5 * precision * (beta - mean) ** 2 + np.log(np.asarray(jacobian)[:, 0, 0])
    np.testing.assert_allclose(stated - stated[0], expected - expected[0], atol=1e-6)


def test_an_energy_of_beta_alone_has_a_program():
    gram, moment = np.array([[4.0]]), np.array([2.0])
    with double():
        target = target_of(
            LinearProgram(
                EnergyLikelihood(gram, moment), BASE[4:], {"internal": slice(0, 1)}, "hierarchical"
            )
        )
        assert target.size == 1
        assert np.isfinite(target.log_density(jnp.zeros(1)))


def test_a_calibrated_likelihood_of_a_model_that_is_right_is_the_models_own():
    data = likelihood(noise=0.7)
    found = EnergyLikelihood.calibrated(data.gram, data.moment, 0.7 * data.gram)
    np.testing.assert_allclose(found.gram, data.gram / 0.7, rtol=1e-9)
    np.testing.assert_allclose(found.moment, data.moment / 0.7, rtol=1e-9)


def test_a_calibrated_likelihood_counts_the_noise_that_it_is_told():
    data = likelihood()
    root = np.random.default_rng(3).normal(size=(SIZE * PERIODS,) * 2)
    meat = root @ root.T + 5.0 * np.eye(len(root))
    found = EnergyLikelihood.calibrated(data.gram, data.moment, meat)
    exact = data.gram @ np.linalg.solve(meat, data.gram)
    ratio = np.linalg.eigvals(np.linalg.solve(exact, found.gram)).real
    assert 0.8 < ratio.min() < ratio.max() < 1.1
    # its mode is where b = Aθ, whatever the noise
    np.testing.assert_allclose(
        np.linalg.solve(found.gram, found.moment),
        np.linalg.solve(data.gram, data.moment),
        rtol=1e-6,
    )


def test_a_matching_likelihood_makes_the_posterior_that_it_is_given():
    rng = np.random.default_rng(4)
    root = rng.normal(size=(4, 4))
    covariance, mean, prior = root @ root.T + np.eye(4), rng.normal(size=4), np.full(4, 3.0)
    found = EnergyLikelihood.matching(mean, covariance, prior)  # wider than the prior in places
    posterior = found.gram + np.diag(prior)
    np.testing.assert_allclose(posterior @ covariance, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(np.linalg.solve(posterior, found.moment), mean, rtol=1e-9)


def test_a_users_own_program_observes_snapshots():
    data = likelihood()
    theta = jnp.arange(10.0).reshape(2, 5)

    def program():
        data.observe(theta)
        data.observe(2.0 * theta, name="again")

    with double():
        value, _ = log_density(program, (), {}, {})
        expected = data.log_density(theta) + data.log_density(2.0 * theta)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
