"""Moment likelihoods against populations whose energy is known, and their intervals counted."""

import numpy as np
import pytest

from bayesjko.demos import demo
from bayesjko.fit import fit
from bayesjko.inference import search
from bayesjko.inference.calibration import calibrated_ridge, sandwich
from bayesjko.inference.conditioning import condition
from bayesjko.intervals import shortest_interval
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.residual import Statistics
from bayesjko.simulate import simulate, true_drift

RATE, BETA = 1.5, 0.2


def bowl(seed, times=(0.0, 0.1, 0.2, 0.35), n=300):
    """Snapshots of dX = −1.5 X dt + √0.4 dB from N(2, 0.3²), each a sample of its own, exactly."""
    rng = np.random.default_rng(seed)
    decay = np.exp(-RATE * np.array(times))
    variance = 0.09 * decay**2 + BETA * (1 - decay**2) / RATE
    clouds = [
        2 * m + np.sqrt(v) * rng.normal(size=(n, 1)) for m, v in zip(decay, variance, strict=True)
    ]
    return Snapshots(np.array(times), tuple(clouds))


@pytest.mark.parametrize("likelihood", ["weak", "flow"])
def test_intervals_hold_the_truth_as_often_as_they_say(likelihood):
    slopes, betas, p_values = [], [], []
    for seed in range(16):
        result = fit(bowl(seed), likelihood=likelihood, potential="poly:2", draws=400, tests=4)
        drift = result.drift(np.array([[-1.0], [1.0]]))[:, :, 0]
        slope = 0.5 * (drift[:, 0] - drift[:, 1])
        slopes.append((slope.mean() - RATE) / slope.std())
        betas.append((result.beta.mean() - BETA) / result.beta.std())
        p_values.append(result.posterior.goodness_of_fit.p_value)
    for scores in (slopes, betas):
        # of 16 standard normals: a mean beyond 0.8 or an rms outside of this has p < 0.002
        assert abs(np.mean(scores)) < 0.8
        assert 0.5 < np.sqrt(np.mean(np.square(scores))) < 1.55
    assert np.mean(np.array(p_values) < 0.05) <= 0.25


def test_many_tests_that_say_little_of_beta_are_not_sure_of_it():
    """Near equilibrium: what the slopes' own noise seems to tell must not count."""
    held = []
    for seed in range(6):
        snapshots = simulate(
            "quadratic", beta=0.2, particles=400, start="normal",
            times=[0.0, 0.1, 0.2, 0.3, 0.4, 0.6], seed=seed,
        )  # fmt: skip
        result = fit(snapshots, likelihood="flow", potential="poly:2", draws=400)
        low, high = shortest_interval(result.beta, 0.9)
        held.append(low <= 0.2 <= high)
    assert sum(held) >= 4, held


@pytest.mark.parametrize("likelihood", ["auto", "flow", "residual"])
def test_a_population_at_rest_tells_of_no_force_and_is_not_sure_of_that(likelihood):
    """V and β that balance are as good as others; forces of −x lie in the intervals of all."""
    points = np.array([[-1.0], [-0.5], [0.5], [1.0]]) * np.ones(2)
    held, surely, told = [], [], []
    for seed in range(4):
        snapshots = simulate(
            "quadratic",
            beta=1.0,
            particles=400,
            start="normal",
            snapshots=5,
            tau=0.1,
            seed=seed,
        )
        result = fit(snapshots, likelihood=likelihood, potential="poly:2", draws=400)
        assert result.identifiability.movement.still
        told.append(any("Nothing tells β" in note for note in result.posterior.notes))
        low, high = np.quantile(result.drift(points), [0.05, 0.95], axis=0)
        held.append(np.mean((low <= -points) & (-points <= high)))
        surely.append(np.mean((low > 0.0) | (high < 0.0)))
    assert np.mean(held) > 0.7, held
    assert np.mean(surely) < 0.3, surely
    assert np.mean(told) >= 0.5 or likelihood == "residual", told


def test_weak_says_where_its_slope_is_mostly_noise():
    """Of a bowl at rest it is; of wells that are far from it, at the same interval, it is not."""
    told = []
    for potential, beta in (("quadratic", 1.0), ("tilted_double_well", 0.3)):
        snapshots = simulate(
            potential, beta=beta, particles=600, start="normal", snapshots=5, tau=0.02, seed=1
        )
        result = fit(snapshots, likelihood="weak", potential="poly:4", draws=8)
        told.append(any("moves too little" in note for note in result.posterior.notes))
    assert told == [True, False]


def test_both_ends_of_a_short_interval_tell_more_of_beta_than_its_beginning(monkeypatch):
    """The drift is the same to its own uncertainty; β is known better, and held."""
    snapshots = [
        simulate("styblinski_tang", beta=0.1, particles=500, snapshots=5, tau=0.01, seed=seed)
        for seed in (0, 1)
    ]
    options = {"likelihood": "flow", "potential": "poly:4", "draws": 400}
    both = [fit(each, **options) for each in snapshots]
    monkeypatch.setattr(search, "_MOST_SYMMETRIC", 0.0)
    one = [fit(each, **options) for each in snapshots]
    for result, other in zip(both, one, strict=True):
        ours, theirs = (each.posterior.covariance[0, -1, -1] for each in (result, other))
        assert ours < 0.9 * theirs
        low, high = shortest_interval(result.beta, 0.95)
        assert low <= 0.1 <= high
        points = result.snapshots.particles[0][:100]
        ours, theirs = result.drift(points), other.drift(points)
        apart = (ours.mean(axis=0) - theirs.mean(axis=0)) / theirs.std(axis=0)
        assert np.sqrt(np.mean(apart**2)) < 1.0


def test_long_intervals_have_slopes_of_paths(monkeypatch):
    options = {"likelihood": "flow", "potential": "poly:2", "draws": 8, "tests": 4}
    far = bowl(5, times=(0.0, 0.6, 1.2, 1.8))
    found = fit(far, **options)
    monkeypatch.setattr(search.Search, "nearby", lambda _: None)
    np.testing.assert_array_equal(found.beta, fit(far, **options).beta)


def test_forces_too_small_to_move_anything_are_not_near():
    """A trapezoid's slope has a solution of hardly any force, under which nothing bends."""
    snapshots, _ = simulate(
        "tilted_double_well", beta=0.3, particles=3000, start="normal", substeps=20,
        times=[0.0, 0.1, 0.2, 0.3], seed=0,
    ).split(0.5, 0)  # fmt: skip
    result = fit(snapshots, likelihood="flow", potential="poly:4", draws=400)
    points = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-0.5, 0.5]), axis=-1).reshape(-1, 2)
    true = true_drift(snapshots.truth, points, snapshots.particles[-1])
    assert np.mean((result.drift(points).mean(axis=0) - true) ** 2) < 0.05 * np.mean(true**2)
    assert result.posterior.goodness_of_fit.p_value > 0.01


def test_a_second_solution_is_told(monkeypatch):
    snapshots = bowl(3, n=200)
    options = {"likelihood": "flow", "potential": "poly:2", "draws": 8, "tests": 4}
    monkeypatch.setattr(search, "_MOST_SYMMETRIC", 0.0)  # of a slope of paths only
    usual = fit(snapshots, **options)
    assert not any("two solutions" in note for note in usual.posterior.notes)
    monkeypatch.setattr(search, "_APART", 0.0)  # now every end of a search is another one
    told = [note for note in fit(snapshots, **options).posterior.notes if "two solutions" in note]
    assert len(told) == 1
    assert "no forces at all" in told[0]


def test_a_second_search_finds_what_the_first_has_found():
    snapshots = simulate(
        "double_well", beta=0.2, particles=300, start="normal", times=[0.0, 0.05, 0.1, 0.2], seed=1
    )
    result = fit(snapshots, likelihood="flow", potential="poly:4", draws=8)
    assert not any("two solutions" in note for note in result.posterior.notes)


def test_a_rotating_population_is_no_gradient_flow():
    rng = np.random.default_rng(1)
    shape = np.array([[2.0, 0.0], [0.0, 0.5]])

    def turned(angle):
        c, s = np.cos(angle), np.sin(angle)
        return rng.normal(size=(600, 2)) @ shape @ np.array([[c, s], [-s, c]])

    times = np.arange(5) * 0.1
    turning = Snapshots(times, tuple(turned(3.0 * t) for t in times))
    options = {"potential": "poly:2", "likelihood": "flow", "draws": 40, "tests": 10}
    assert fit(turning, **options).posterior.goodness_of_fit.p_value < 1e-3
    falling = simulate("quadratic", beta=0.1, times=tuple(times), particles=600, start="normal")
    assert fit(falling, **options).posterior.goodness_of_fit.p_value > 1e-3


def test_auto_takes_the_flow_where_snapshots_are_far_apart():
    near = simulate("quadratic", beta=0.1, tau=0.01, particles=200, start="normal")
    far = demo("double_well")
    paired = simulate("quadratic", beta=0.1, tau=0.01, particles=100, paired=True)
    assert fit(near, potential="poly:2", internal=False, draws=8).settings["likelihood"] == "weak"
    assert fit(far, potential="poly:4", draws=8).settings["likelihood"] == "flow"
    assert fit(paired, potential="poly:2", draws=8).settings["likelihood"] == "residual"


@pytest.mark.parametrize("likelihood", ["weak", "flow"])
def test_threads_change_no_bit(likelihood):
    snapshots = simulate("quadratic", beta=0.3, particles=120, snapshots=4, tau=0.1, start="normal")
    small = {"potential": "poly:2", "tests": 4, "copies": 8, "draws": 8, "likelihood": likelihood}
    one, three = (fit(snapshots, jobs=jobs, **small).posterior for jobs in (1, 3))
    np.testing.assert_array_equal(one.coefficients, three.coefficients)


def test_a_search_that_finds_nothing_ends_in_a_sentence_or_in_couplings(monkeypatch):
    monkeypatch.setattr("bayesjko.inference.problem._LOST", 0.0)
    snapshots = simulate("quadratic", beta=0.1, tau=0.05, particles=100, snapshots=3)
    small = {"potential": "poly:2", "draws": 8, "tests": 5}
    with pytest.raises(InputError, match=r"^No energy was found .* residual likelihood"):
        fit(snapshots, likelihood="flow", **small)
    result = fit(snapshots, **small)
    assert result.settings["likelihood"] == "residual"
    assert any("no energy was found" in note for note in result.posterior.notes)


def test_interaction_and_potential_together_give_the_total_force():
    snapshots = simulate(
        "double_well", "gaussian", 0.1, interaction_scale=3.0, tau=0.05, particles=150,
        snapshots=4, start="normal", seed=4,
    )  # fmt: skip
    result = fit(
        snapshots, potential="poly:2", interaction="poly:2", likelihood="flow", draws=200, copies=2,
        steps=4, tests=8,
    )  # fmt: skip
    points = snapshots.particles[-1][:100]
    truth = np.asarray(true_drift(snapshots.truth, points, snapshots.particles[-1]))
    draws = result.drift(points)
    assert np.corrcoef(draws.mean(axis=0).ravel(), truth.ravel())[0, 1] > 0.6
    low, high = np.quantile(draws, [0.005, 0.995], axis=0)
    assert np.mean((low <= truth) & (truth <= high)) > 0.7


def test_sandwich_is_the_models_own_covariance_where_the_model_is_right():
    rng = np.random.default_rng(0)
    design = rng.normal(size=(50, 4))
    y = design @ rng.normal(size=4)
    statistics = Statistics(design.T @ design, design.T @ y, float(y @ y), 50.0)
    found = condition([statistics], np.full(4, 0.3), 2.0)
    np.testing.assert_allclose(
        sandwich(found, 2.0 * statistics.gram), 2.0 * found.joint_inverse(), rtol=1e-10
    )


def test_calibrated_scale_is_the_most_probable_one():
    rng = np.random.default_rng(3)
    size = 12
    design = rng.normal(size=(80, size))
    root = rng.normal(size=(size, size))
    meat = root @ root.T + 5 * np.eye(size)
    gram = design.T @ design
    moment = gram @ (0.5 * rng.normal(size=size)) + np.linalg.cholesky(meat) @ rng.normal(size=size)
    found = calibrated_ridge(gram, moment, meat, size, [slice(0, size)], np.ones(size))

    def log_evidence(precision):
        covariance = meat + gram @ gram / precision
        return -0.5 * (
            np.linalg.slogdet(covariance)[1] + moment @ np.linalg.solve(covariance, moment)
        )

    grid = found[0] * np.exp(np.linspace(-3, 3, 61))
    assert np.ptp(found) == 0.0
    assert log_evidence(found[0]) >= max(map(log_evidence, grid)) - 1e-4


def test_no_room_is_made_for_any_beta_where_two_terms_trade():
    """A quadratic V and W, the mean at rest: a wide prior would put β at ten times the truth."""
    snapshots = simulate(
        "quadratic",
        interaction="quadratic",
        beta=0.2,
        start="normal",
        particles=500,
        tau=0.05,
        seed=1,
    )
    options = {"likelihood": "residual", "potential": "poly:4", "interaction": "poly:4"}
    result = fit(snapshots, **options, draws=8)
    assert result.beta.mean() < 1.0
