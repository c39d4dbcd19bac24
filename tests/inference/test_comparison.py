"""Evidences of energies: densities that integrate to one, and integrals done by brute force."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from bayesjko.inference import comparison
from bayesjko.inference.comparison import Candidate, Summary, log_evidence, summarise_statistics

NONE = np.arange(0)
LEAST, MOST = np.exp(comparison._LEAST), np.exp(comparison._MOST)  # scales thought possible


def random_summary(seed=0, equations=5, size=4):
    rng = np.random.default_rng(seed)
    return Summary(rng.normal(size=equations), 3.0 * rng.normal(size=(equations, size)))


def scales(count):
    """Log-uniform midpoints of the possible prior scales."""
    edges = np.linspace(np.log(LEAST), np.log(MOST), count + 1)
    return np.exp(0.5 * (edges[1:] + edges[:-1]))


def test_an_energy_without_coefficients_explains_only_noise():
    summary = random_summary()
    expected = norm.logpdf(summary.value).sum()
    assert log_evidence(summary, Candidate([], NONE)) == pytest.approx(expected, rel=1e-12)


def test_one_term_is_the_mean_over_its_scales():
    """Against the marginal covariance I + σ²XXᵀ, averaged over σ."""
    summary, group = random_summary(1), np.array([0, 2, 3])
    x = summary.design[:, group]
    each = [
        multivariate_normal(cov=np.eye(5) + s**2 * x @ x.T).pdf(summary.value) for s in scales(400)
    ]
    found = log_evidence(summary, Candidate([group], NONE))
    assert found == pytest.approx(np.log(np.mean(each)), abs=0.02)


def test_beta_is_integrated_over_its_half_line_and_its_scales():
    """θ, β, and both scales summed over by brute force; β on its half line only."""
    summary = Summary(np.array([0.8, 2.5]), np.array([[1.0, 0.7], [-0.3, 2.0]]))
    theta = np.linspace(-12.0, 12.0, 481)
    beta = np.linspace(0.0, 12.0, 481)[1:] - 0.0125
    wide = np.append(0.0, scales(60))  # below the first step a scale is as good as none

    def masses(at, step, half):
        """The prior's mass in each cell, averaged over the scales."""
        edges = np.append(at - 0.5 * step, at[-1] + 0.5 * step)
        cells = [np.diff(norm.cdf(edges / s)) * (2.0 if half else 1.0) for s in wide[1:]]
        return np.mean(cells, axis=0)

    mass = np.outer(masses(theta, 0.05, False), masses(beta, 0.025, True))
    gap = summary.value - (
        summary.design[:, 0] * theta[:, None, None] + summary.design[:, 1] * beta[None, :, None]
    )
    likelihood = np.exp(-0.5 * np.sum(gap**2, axis=-1)) / (2.0 * np.pi)
    found = log_evidence(summary, Candidate([np.array([0])], np.array([1])))
    assert found == pytest.approx(np.log(np.sum(mass * likelihood)), abs=0.02)
    turned = Summary(summary.value, summary.design * [1.0, -1.0])
    other = log_evidence(turned, Candidate([np.array([0])], np.array([1])))
    assert other < found - 0.1  # the data want this β positive


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate([np.array([0])], NONE),
        Candidate([], np.array([1])),
        Candidate([np.array([0])], np.array([1])),
        Candidate([np.array([0]), np.array([1])], NONE),
    ],
    ids=["V", "β", "V + β", "V + W"],
)
def test_evidences_are_densities_of_the_data(candidate):
    """∫ p(z | energy) dz = 1, so that no energy is favoured before the data are seen."""
    step = 0.8
    values = np.arange(-12.0, 12.1, step)
    design = np.array([[1.2, 0.8]])
    found = [log_evidence(Summary(np.array([z]), design), candidate) for z in values]
    # two scales are integrated one by one around the most probable: 0.1 of a log evidence off
    loose = 0.12 if len(candidate.groups) > 1 else 0.01
    assert step * np.sum(np.exp(found)) == pytest.approx(1.0, abs=loose)


def test_an_energy_explains_what_it_made_and_pays_for_what_it_does_not_need():
    rng = np.random.default_rng(3)
    design = 6.0 * rng.normal(size=(20, 8))
    v, w, beta = np.arange(4), np.arange(4, 7), np.array([7])
    quiet = np.concatenate([rng.normal(size=4), np.zeros(4)])
    pulled = np.concatenate([rng.normal(size=7), [0.0]])
    diffusing = np.concatenate([rng.normal(size=4), np.zeros(3), [0.7]])
    energies = {
        "V": Candidate([v], NONE),
        "V + β": Candidate([v], beta),
        "V + W": Candidate([v, w], NONE),
        "V + W + β": Candidate([v, w], beta),
    }
    for theta, best in [(quiet, "V"), (pulled, "V + W"), (diffusing, "V + β")]:
        summary = Summary(design @ theta + rng.normal(size=20), design)
        found = {name: log_evidence(summary, one) for name, one in energies.items()}
        assert max(found, key=found.__getitem__) == best
        assert 0.0 < found[best] - found["V + W + β"] < 15.0
        if best != "V":
            assert found[best] - found["V"] > 3.0


def test_leaving_a_coefficient_out_is_fixing_it_at_zero():
    """The same equations without its column say the same."""
    summary, group = random_summary(2), np.array([0, 2])
    fewer = Summary(summary.value, summary.design[:, group])
    assert log_evidence(summary, Candidate([group], NONE)) == pytest.approx(
        log_evidence(fewer, Candidate([np.arange(2)], NONE)), rel=1e-9
    )


def statistics(seed=0, size=4):
    rng = np.random.default_rng(seed)
    root, noise = rng.normal(size=(2, size, size))
    units = 10.0 ** rng.uniform(-3, 3, size=size)
    gram, meat = root @ root.T, noise @ noise.T + np.eye(size)
    return (
        units[:, None] * gram * units,
        units * rng.normal(size=size),
        (units[:, None] * meat * units),
    )


def test_statistics_are_whitened():
    """XᵀX = AM⁻¹A and Xᵀz = AM⁻¹b, but for the many particles an inverse needs."""
    gram, moment, meat = statistics()
    units = 1.0 / np.sqrt(np.diag(meat))  # compared where all numbers are of order one
    for particles, free in [(1e12, 1.0), (100.0, (100.0 - 6.0) / 99.0), (2.0, 0.1)]:
        found = summarise_statistics(gram, moment, meat, particles)
        inverse = np.linalg.inv(meat)
        pairs = [
            (found.design.T @ found.design, free * gram @ inverse @ gram, np.outer(units, units)),
            (found.design.T @ found.value, free * gram @ inverse @ moment, units),
        ]
        for ours, expected, unit in pairs:
            np.testing.assert_allclose(unit * ours, unit * expected, rtol=1e-6, atol=1e-9)


def test_units_of_the_coefficients_change_no_whitening():
    gram, moment, meat = statistics(1)
    units = np.array([1.0, 1e3, 1e-4, 5.0])
    here = summarise_statistics(gram, moment, meat, 1e3)
    there = summarise_statistics(
        units[:, None] * gram * units, units * moment, units[:, None] * meat * units, 1e3
    )
    np.testing.assert_allclose(there.value @ there.value, here.value @ here.value, rtol=1e-6)
    np.testing.assert_allclose(
        there.design.T @ there.design,
        units[:, None] * (here.design.T @ here.design) * units,
        rtol=1e-6,
    )


def test_directions_that_no_particle_sees_are_left_out():
    gram, moment, meat = statistics(2)
    blind = np.eye(4)
    blind[3, 3] = 0.0
    found = summarise_statistics(blind @ gram @ blind, blind @ moment, blind @ meat @ blind, 1e3)
    assert found.design.shape == (3, 4)
    assert np.all(np.isfinite(found.design))
    np.testing.assert_allclose(found.design[:, 3], 0.0, atol=1e-12)
