"""Particles that were followed, through intervals in which their forces change."""

import numpy as np
import pytest

from bayesjko import fit, simulate
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.followed import without_missed
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.residual import residual_problem
from bayesjko.models.data import Standardisation
from bayesjko.models.energies import build_linear_energy
from bayesjko.summary import summarise

BOWL = {"potential": "quadratic", "beta": 0.3, "start": "normal", "particles": 400, "paired": True}
POINTS = np.array([[1.0, 0.0], [0.0, -1.0], [0.7, 0.7]])
SEEDS = range(4)


def bowl(tau, seed=0):
    return simulate(**BOWL, snapshots=5, tau=tau, seed=seed)


def far_off(result):
    """The drift −x at some points, in posterior standard deviations away from what is found."""
    drift = result.drift(POINTS)
    return (drift.mean(axis=0) + POINTS) / drift.std(axis=0)


@pytest.fixture(scope="module")
def found():
    return [fit(bowl(0.3, seed), potential="poly:2", jobs=1, seed=seed) for seed in SEEDS]


def test_the_drift_is_held_where_one_step_is_too_long(found):
    """The exact displacement over 0.3 is 1 − e^-0.3 of x, which one step takes for 0.3."""
    one_step = [
        fit(bowl(0.3, seed), potential="poly:2", scheme="midpoint", jobs=1, seed=seed)
        for seed in SEEDS
    ]
    assert np.sqrt(np.mean([far_off(each) ** 2 for each in found])) < 1.6
    assert np.sqrt(np.mean([far_off(each) ** 2 for each in one_step])) > 2.5


def test_the_diffusion_of_followed_particles_is_found(found):
    """At the start of each step there is none in their mean, whatever it is."""
    betas = np.array([[each.beta.mean(), each.beta.std()] for each in found])
    assert np.all(np.abs(betas[:, 0] - 0.3) < 3.0 * betas[:, 1])
    assert np.all(betas[:, 0] > 0.2)


def test_a_scheme_that_cannot_see_beta_says_so():
    result = fit(bowl(0.1), potential="poly:2", scheme="explicit", jobs=1)
    assert "do not trust this β" in summarise(result)


def test_the_summary_says_what_simulating_did(found):
    assert "paths simulated between the snapshots" in summarise(found[0])


def test_short_steps_miss_little():
    """What is missed of a step falls with its square, the noise of a step with its root."""
    moves = []
    for tau in (0.01, 0.3):
        snapshots = bowl(tau)
        standard = Standardisation.of(snapshots).apply(snapshots)
        energy = build_linear_energy(standard, potential="poly:2", internal=True)
        options = InferenceOptions()
        plain = residual_problem(energy, standard, scheme="midpoint", solver="paired")
        less = without_missed(plain, standard, options)
        before, after = (conditioned_problem(each, options) for each in (plain, less))
        spread = np.sqrt(before.noise * np.diag(before.joint_inverse()))
        moves.append(np.max(np.abs((after.mean - before.mean).ravel() / spread)))
    assert moves[0] < 0.5 < moves[1]


def test_a_scheme_that_is_asked_for_is_the_closed_form():
    """JKOnet*'s, of the steps as they are."""
    snapshots = bowl(0.3)
    asked = fit(snapshots, potential="poly:2", scheme="midpoint", jobs=1)
    standard = asked.standardisation.apply(snapshots)
    problem = residual_problem(asked.energy, standard, scheme="midpoint", solver="paired")
    mean = conditioned_problem(problem, InferenceOptions()).mean
    np.testing.assert_allclose(asked.posterior.mean, mean, rtol=1e-9, atol=1e-12)


def test_weights_of_the_bootstrap_are_of_the_same_equations():
    snapshots = bowl(0.3)
    result = fit(snapshots, potential="poly:2", covariance="bootstrap", bootstraps=20, jobs=1)
    again = fit(snapshots, potential="poly:2", jobs=1)
    shift = (result.drift(POINTS).mean(axis=0) - again.drift(POINTS).mean(axis=0)) / (
        again.drift(POINTS).std(axis=0)
    )
    assert np.max(np.abs(shift)) < 1.0


def test_an_interval_too_long_for_one_step_is_said():
    snapshots = bowl(3.0)  # in which all is forgotten
    result = fit(snapshots, potential="poly:4", jobs=1)
    assert "do not trust" in summarise(result)
    assert np.all(np.isfinite(result.drift(POINTS)))
