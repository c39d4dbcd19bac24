"""The closed-form posterior: what its options promise, and honesty on simulated regressions."""

import numpy as np
import pytest

from bayesjko.inference.conjugate import infer
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import CHAINS
from bayesjko.inference.problem import LinearProblem
from bayesjko.models.bases import Polynomial
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.residual import Statistics

ENERGY = LinearEnergy(Polynomial.of_degree(2, 2), internal=True)
SIZE = ENERGY.size
SCALE = 1.5  # of the prior


def regression(seed, rows=60, noise=0.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, SIZE))
    theta = SCALE * rng.normal(size=SIZE)
    y = x @ theta + np.sqrt(noise) * rng.normal(size=rows)
    return Statistics(x.T @ x, x.T @ y, float(y @ y), float(rows)), theta


def problem(*blocks, noise="inverse-gamma", meat=None):
    def unasked(coefficients):
        raise AssertionError("the model's own covariance needs no meat")

    return LinearProblem(ENERGY, blocks, len(blocks), noise, meat or unasked)


def options(**changes):
    return InferenceOptions(**({"prior_scale": SCALE, "covariance": "model"} | changes))


def test_a_prior_scale_is_in_the_units_of_the_coefficients():
    """Λ = 1/scale² whatever the noise, though the closed form works with s²Λ."""
    for noise in (0.5, "estimate", "inverse-gamma"):
        data, _ = regression(0)
        found = infer(problem(data, noise=noise), options())
        np.testing.assert_allclose(found.prior_precision, SCALE**-2, rtol=1e-6)
        variance = 0.5 if noise == 0.5 else found.noise.mean()
        precision = data.gram / variance + np.eye(SIZE) / SCALE**2
        loose = 1e-9 if noise == 0.5 else 0.03  # the mean of 1,000 draws of the noise
        np.testing.assert_allclose(found.covariance[0] @ precision, np.eye(SIZE), atol=loose)
        expected = np.linalg.solve(precision, data.moment / variance)
        np.testing.assert_allclose(found.mean[0], expected, rtol=loose)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Simulated from the likelihood and the prior themselves, over and over."""
    held = []
    for seed in range(300):
        data, theta = regression(seed, rows=20)
        draws = infer(problem(data), options(draws=400, seed=seed)).draws[:, 0]
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        held.append((low < theta) & (theta < high))
    assert np.mean(held) == pytest.approx(0.90, abs=0.025)  # three Monte-Carlo errors


def test_scales_by_evidence_are_those_that_drew_the_truth():
    """β alone keeps a vague prior; the other coefficients' scale is found from many periods."""
    blocks, thetas = zip(*(regression(seed) for seed in range(60)), strict=True)
    found = infer(problem(*blocks), options(prior_scale=None))
    drawn = np.mean(np.square(thetas)[:, :-1])
    assert 1 / found.prior_precision[0] == pytest.approx(drawn, rel=0.1)
    assert len(np.unique(found.prior_precision[:-1])) == 1
    assert found.prior_precision[-1] < 1e-3 * found.prior_precision[0]


def test_the_sandwich_of_a_model_that_is_right_is_the_models_own_covariance():
    data, _ = regression(1)
    own = infer(problem(data, noise=0.5), options())
    sandwich = infer(
        problem(data, noise=0.5, meat=lambda theta: 0.5 * data.gram),
        options(covariance="sandwich"),
    )
    np.testing.assert_allclose(sandwich.covariance, own.covariance, rtol=1e-9, atol=1e-14)
    np.testing.assert_array_equal(sandwich.mean, own.mean)
    assert sandwich.uncertainty == "sandwich"
    assert own.uncertainty == "model"


def test_the_sandwich_is_that_of_the_meat_over_all_periods_together():
    blocks = [regression(seed)[0] for seed in (1, 2)]
    root = np.random.default_rng(0).normal(size=(2 * SIZE, 2 * SIZE))
    asked = []

    def meat(coefficients):
        asked.append(coefficients)
        return 5.0 * root @ root.T

    found = infer(
        problem(*blocks, noise=0.5, meat=meat), options(covariance="sandwich", draws=40_000)
    )
    assert asked
    np.testing.assert_array_equal(asked[-1], found.mean)
    ridge = 0.5 / SCALE**2 * np.eye(2 * SIZE)
    inverse = np.zeros((2 * SIZE, 2 * SIZE))
    for p, data in enumerate(blocks):
        block = slice(p * SIZE, (p + 1) * SIZE)
        inverse[block, block] = np.linalg.inv(data.gram + ridge[:SIZE, :SIZE])
    # the ridge R biases the estimate by Q⁻¹Rθ, and θ ~ N(0, s²R⁻¹)
    expected = inverse @ (5.0 * root @ root.T + 0.5 * ridge) @ inverse
    for p in range(2):
        block = slice(p * SIZE, (p + 1) * SIZE)
        np.testing.assert_allclose(found.covariance[p], expected[block, block], rtol=1e-9)
    drawn = np.cov(found.draws.reshape(-1, 2 * SIZE).T)
    spread = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(
        drawn / np.outer(spread, spread), expected / np.outer(spread, spread), atol=0.035
    )


def test_overconfident_intervals_are_called_that_in_one_line():
    data, _ = regression(0)
    notes = infer(problem(data), options()).notes
    assert len(notes) == 1
    assert "too narrow" in notes[0]
    assert "\n" not in notes[0]
    calibrated = infer(problem(data, meat=lambda theta: data.gram), options(covariance="sandwich"))
    assert not any("too narrow" in note for note in calibrated.notes)


def test_draws_are_kept_in_chains_and_fixed_by_the_seed():
    data, _ = regression(0)
    first, again, other = (
        infer(problem(data), options(draws=100, seed=seed)) for seed in (3, 3, 4)
    )
    assert first.coefficients.shape == (CHAINS, 25, 1, SIZE)
    assert first.draws.shape == (100, 1, SIZE)
    np.testing.assert_array_equal(first.coefficients, again.coefficients)
    np.testing.assert_array_equal(first.noise, again.noise)
    assert not np.any(first.coefficients == other.coefficients)


def test_a_likelihood_with_the_right_scale_has_no_noise_to_report():
    data, _ = regression(0)
    assert infer(problem(data, noise=1.0), options()).noise is None


def test_a_prior_too_weak_for_the_data_is_told():
    data, _ = regression(0)
    gram = data.gram.copy()
    gram[:, 0] = gram[:, 1]
    gram[0] = gram[1]
    twin = Statistics(gram, data.moment, data.square, data.count)
    with pytest.raises(InputError, match="collinear"):
        infer(problem(twin, noise=0.5), options(prior_scale=1e150))
