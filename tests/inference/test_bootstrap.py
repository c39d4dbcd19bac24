"""Draws at other weights: what they are one by one, how far they spread, and who makes them."""

from dataclasses import replace

import numpy as np
import pytest

from bayesjko import Snapshots, simulate
from bayesjko.inference.bootstrap import _weights, bootstrap
from bayesjko.inference.conjugate import conditioned_problem, infer
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import CHAINS
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.residual import residual_problem
from bayesjko.inference.score import GaussianMixtureScore, KernelScore, fit_score
from bayesjko.models.data import Standardisation
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.residual import Statistics

OPTIONS = InferenceOptions(seed=4)


def standard(**changes):
    data = simulate(
        **{"potential": "styblinski_tang", "particles": 60, "snapshots": 3, "seed": 1} | changes
    )
    return Standardisation.of(data).apply(data)


def problem_of(data, potential="poly:2", internal=False, **changes):
    energy = build_linear_energy(data, potential=potential, internal=internal)
    solver = "paired" if data.paired else "exact"
    return residual_problem(energy, data, **{"scheme": "midpoint", "solver": solver} | changes)


@pytest.fixture(scope="module")
def problem():
    return problem_of(standard())


@pytest.mark.parametrize(
    "changes",
    [{}, {"internal": True, "density": "kernel"}, {"time_variation": "piecewise"}],
    ids=["plain", "kernel", "piecewise"],
)
def test_at_its_own_weights_the_estimate_is_the_estimate(changes):
    problem = problem_of(standard(), **changes)
    again = problem.reweighted(problem.reweighted.snapshots.weights)
    assert len(again) == len(problem.blocks)
    for ours, theirs in zip(again, problem.blocks, strict=True):
        scale = np.abs(theirs.gram).max()
        np.testing.assert_allclose(ours.gram, theirs.gram, rtol=1e-7, atol=1e-9 * scale)
        np.testing.assert_allclose(ours.moment, theirs.moment, rtol=1e-7, atol=1e-9 * scale)
        assert ours.square == pytest.approx(theirs.square)
        assert ours.count == theirs.count


@pytest.mark.processor
def test_a_weight_is_so_many_particles():
    """Weights 2, 1, 0 are the particles twice, once and not: couplings, densities and all."""
    data = standard()
    rng = np.random.default_rng(0)
    copies = [rng.integers(0, 3, size=len(cloud)) for cloud in data.particles]
    copied = replace(
        data,
        particles=tuple(
            np.repeat(cloud, n, axis=0) for cloud, n in zip(data.particles, copies, strict=True)
        ),
        weights=(),
    )
    problem = problem_of(data, internal=True, density="kernel")
    (ours,) = problem.reweighted([n / n.sum() for n in copies])
    other = replace(problem.reweighted, snapshots=copied)
    (theirs,) = other(copied.weights)
    np.testing.assert_allclose(ours.gram, theirs.gram, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(ours.moment, theirs.moment, rtol=1e-6, atol=1e-7)


def test_weights_vary_as_a_sample_does():
    """A weighted mean varies by Σ w²(x − x̄)², the particles' own weights included."""
    data = standard()
    rng = np.random.default_rng(0)
    own = [rng.uniform(0.2, 3.0, size=len(cloud)) for cloud in data.particles]
    data = replace(data, weights=tuple(own))
    x, w = data.particles[0][:, 0], data.weights[0]
    means = [_weights(data, np.random.default_rng([1, i]))[0] @ x for i in range(4000)]
    expected = np.sum(w**2 * (x - w @ x) ** 2)
    assert np.mean(means) == pytest.approx(w @ x, abs=5 * np.sqrt(expected / 4000))
    assert np.var(means) == pytest.approx(expected, rel=0.1)


def test_a_particle_that_is_followed_has_one_weight():
    unpaired, paired = standard(), standard(paired=True)
    for data, same in [(unpaired, False), (paired, True)]:
        first, second, third = _weights(data, np.random.default_rng(0))
        assert first.sum() == pytest.approx(1.0)
        assert np.allclose(first, second) == same
        assert np.allclose(first, third) == same


@pytest.mark.parametrize("paired", [False, True])
def test_draws_spread_as_the_sandwich_says(paired):
    """Two roads to one covariance; many particles and few features, where both hold."""
    data = standard(particles=200, snapshots=2, paired=paired, beta=0.5)
    problem = problem_of(data, scheme="explicit" if paired else "midpoint")
    own = infer(problem, OPTIONS)
    found = bootstrap(problem, OPTIONS, bootstraps=200)
    ratio = np.sqrt(np.diag(found.covariance[0]) / np.diag(own.covariance[0]))
    assert np.exp(np.mean(np.log(ratio))) == pytest.approx(1.0, abs=0.12)
    assert np.all((ratio > 0.75) & (ratio < 1.3))


def test_the_posterior_is_that_of_the_closed_form_but_for_its_draws(problem):
    own = infer(problem, replace(OPTIONS, draws=12))
    found = bootstrap(problem, OPTIONS, bootstraps=10)
    assert found.coefficients.shape == (CHAINS, 3, 1, problem.energy.size)
    assert found.uncertainty == "bootstrap"
    np.testing.assert_array_equal(found.mean, own.mean)
    np.testing.assert_array_equal(found.noise, own.noise)
    assert found.log_evidence == own.log_evidence
    np.testing.assert_allclose(
        found.covariance[0], np.cov(found.draws[:, 0].T), rtol=1e-9, atol=1e-12
    )


def test_draws_lie_around_the_estimate_of_all_particles(problem):
    found = bootstrap(problem, OPTIONS, bootstraps=80)
    error = (found.draws.mean(axis=0) - found.mean)[0]
    spread = np.sqrt(np.diag(found.covariance[0]) / 80)
    assert np.all(np.abs(error) < 4 * spread)


def test_a_prior_that_decides_is_all_the_spread_there_is(problem):
    """No particle moves an estimate that the prior holds: its own width is what is left."""
    options = replace(OPTIONS, prior_scale=1e-6)
    found = bootstrap(problem, options, bootstraps=200)
    np.testing.assert_allclose(found.draws[:, 0].std(axis=0), 1e-6, rtol=0.25)
    np.testing.assert_allclose(
        np.diag(infer(problem, options).covariance[0]), 1e-12, rtol=1e-3
    )  # so with the sandwich


class Counted:
    """The same statistics whatever the weights, and how often they were asked for."""

    def __init__(self, problem):
        self.problem, self.snapshots, self.calls = problem, problem.reweighted.snapshots, 0

    def __call__(self, weights):
        self.calls += 1
        total = sum(float(w @ w) for w in weights)  # so that each draw is another
        return tuple(block * (1.0 + total) for block in self.problem.blocks)


def test_a_run_goes_on_with_the_blocks_that_are_done(problem):
    counted = replace(problem, reweighted=Counted(problem))
    kept = []
    whole = bootstrap(counted, OPTIONS, bootstraps=20, keep=kept.append)
    assert [len(block["estimates"]) for block in kept] == [8, 8, 4]
    counted.reweighted.calls, more = 0, []
    again = bootstrap(counted, OPTIONS, bootstraps=20, done=kept[:1], keep=more.append)
    assert counted.reweighted.calls == 12
    np.testing.assert_array_equal(again.coefficients, whole.coefficients)
    for ours, theirs in zip(more, kept[1:], strict=True):
        np.testing.assert_array_equal(ours["estimates"], theirs["estimates"])
    counted.reweighted.calls = 0
    bootstrap(counted, OPTIONS, bootstraps=20, done=kept)
    assert counted.reweighted.calls == 0


def test_a_draw_depends_on_the_seed_and_its_number_only(problem):
    counted = replace(problem, reweighted=Counted(problem))
    few, many, other = [], [], []
    for kept, count, seed in [(few, 8, 4), (many, 24, 4), (other, 8, 5)]:
        bootstrap(counted, replace(OPTIONS, seed=seed), bootstraps=count, keep=kept.append)
    np.testing.assert_array_equal(few[0]["estimates"], many[0]["estimates"])
    assert not np.any(few[0]["estimates"] == other[0]["estimates"])


def test_other_processes_make_the_same_draws():
    problem = problem_of(standard(), potential="rbf:4", internal=True)
    alone, shared = (bootstrap(problem, OPTIONS, bootstraps=8, jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(shared.coefficients, alone.coefficients)


def test_a_likelihood_without_couplings_is_told():
    energy = build_linear_energy(standard(), potential="poly:2")
    eye = np.eye(energy.size)
    bare = LinearProblem(
        energy, (Statistics(eye, eye[0], 1.0, 1.0),), 1, 1.0, lambda coefficients: eye
    )
    with pytest.raises(InputError, match="residual likelihood, or covariance=sandwich"):
        bootstrap(bare, OPTIONS)


def test_the_ridge_is_that_of_the_estimate(problem):
    """Counted's draws are θ̂ under a gram so many times as large: closed form by hand."""
    counted = replace(problem, reweighted=Counted(problem))
    kept = []
    bootstrap(counted, OPTIONS, bootstraps=4, keep=kept.append)
    found = conditioned_problem(problem, OPTIONS)
    data = problem.reweighted.snapshots
    for index, estimate in enumerate(kept[0]["estimates"]):
        weights = _weights(data, np.random.default_rng([OPTIONS.seed, index]))
        factor = 1.0 + sum(float(w @ w) for w in weights)
        block = problem.blocks[0] * factor
        expected = np.linalg.solve(block.gram + np.diag(found.ridge), block.moment)
        np.testing.assert_allclose(estimate[0], expected, rtol=1e-8)


def cloud(n=300, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.where(rng.random((n, 1)) < 0.4, -2.0, 2.0)
    return centres + rng.normal(size=(n, 2)) @ np.array([[1.0, 0.0], [0.4, 0.6]])


@pytest.mark.parametrize("method", ["mixture", "kernel"])
def test_a_density_is_fitted_again_at_other_weights(method):
    """Weights of zero and one: as good as the density of those left."""
    points = cloud()
    half = (points[:, 0] > 0).astype(float)
    score = fit_score(points, None, method)
    again = score.refitted(points, half)
    probes = points[half > 0][:50]
    left = fit_score(probes, None, method)  # of one hump, whatever the other was
    assert type(again) is type(score)
    gap = again(probes) - left(probes)
    assert np.sqrt(np.mean(gap**2) / np.mean(left(probes) ** 2)) < 0.35
    assert np.sqrt(np.mean((score(probes) - again(probes)) ** 2)) > 1e-3
    grid = np.stack(np.meshgrid(*[np.linspace(-9, 9, 121)] * 2), axis=-1).reshape(-1, 2)
    mass = np.exp(again.log_density(grid)).sum() * (18 / 120) ** 2
    assert mass == pytest.approx(1.0, abs=0.01)


def test_a_mixture_at_its_own_weights_stays():
    points = cloud(2000)
    score = GaussianMixtureScore.fit(points, components=2)
    again = score.refitted(points, np.full(len(points), 1 / len(points)))
    np.testing.assert_allclose(again(points[:50]), score(points[:50]), atol=0.02)


def test_a_mixture_raises_the_likelihood_of_the_weighted_cloud():
    points = cloud()
    weight = np.random.default_rng(1).standard_exponential(len(points))
    score = GaussianMixtureScore.fit(points, components=3)
    again = score.refitted(points, weight)
    assert weight @ again.log_density(points) > weight @ score.log_density(points)


def test_no_component_collapses_onto_a_particle():
    points = cloud(30)
    weight = np.full(30, 1e-12)
    weight[:2] = 1.0
    again = GaussianMixtureScore.fit(points, components=2).refitted(points, weight)
    assert np.all(np.isfinite(again(points)))
    widths = 1.0 / np.linalg.norm(again.whitening, 2, axis=(1, 2))
    assert widths.min() > 0.02


def test_kernels_keep_their_width():
    points = cloud()
    score = KernelScore.fit(points)
    again = score.refitted(points, np.random.default_rng(1).standard_exponential(len(points)))
    assert again.factor == score.factor


def test_a_handful_of_weighted_particles_is_enough():
    rng = np.random.default_rng(2)
    clouds = tuple(rng.normal(size=(n, 1)) + k for k, n in enumerate((5, 9, 7)))
    weights = tuple(rng.uniform(0.1, 1.0, size=len(cloud)) for cloud in clouds)
    data = Snapshots(np.arange(3.0), clouds, weights)
    found = bootstrap(problem_of(data, internal=True), OPTIONS, bootstraps=8)
    assert np.all(np.isfinite(found.draws))
