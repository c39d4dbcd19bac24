"""Scores against known densities, and the laws every score obeys."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from bayesjko.inference import score as score_module
from bayesjko.inference.score import GaussianMixtureScore, KernelScore, fit_score

METHODS = ["mixture", "kernel"]
N = 2000

# Known mixtures: shares, means and covariances.
NORMAL = (np.array([1.0]), np.array([[1.0, -2.0]]), np.array([[[1.0, 0.6], [0.6, 2.0]]]))
MODES = (
    np.array([0.3, 0.7]),
    np.array([[-2.0, 0.0], [2.0, 1.0]]),
    np.array([[[0.3, 0.1], [0.1, 0.4]], [[0.5, -0.2], [-0.2, 0.3]]]),
)


def draw(mixture, n, seed):
    shares, means, covariances = mixture
    rng = np.random.default_rng(seed)
    which = rng.choice(len(shares), n, p=shares)
    roots = np.linalg.cholesky(covariances)
    return means[which] + np.einsum("nij,nj->ni", roots[which], rng.normal(size=(n, 2)))


def log_components(mixture, x, blur=0.0):
    shares, means, covariances = mixture
    precisions = np.linalg.inv(covariances + blur)
    gaps = x[:, None] - means
    square = np.einsum("nci,cij,ncj->nc", gaps, precisions, gaps)
    peaks = 0.5 * np.linalg.slogdet(precisions)[1] - np.log(2 * np.pi)
    return np.log(shares) + peaks - 0.5 * square


def true_score(mixture, x, blur=0.0):
    """Of the mixture convolved with a normal of covariance `blur`."""
    _, means, covariances = mixture
    pulls = -np.einsum("cij,ncj->nci", np.linalg.inv(covariances + blur), x[:, None] - means)
    return np.einsum("nc,nci->ni", softmax(log_components(mixture, x, blur), axis=1), pulls)


def relative_error(estimate, truth):
    return float(np.sqrt(np.mean((estimate - truth) ** 2) / np.mean(truth**2)))


@pytest.mark.parametrize(("name", "mixture"), [("normal", NORMAL), ("two modes", MODES)])
def test_known_mixtures(name, mixture):
    cloud, points = draw(mixture, N, 0), draw(mixture, N, 1)
    truth = true_score(mixture, points)
    errors = {m: relative_error(fit_score(cloud, method=m)(points), truth) for m in METHODS}
    print(f"relative error of the score on {name}: {errors}")
    # Maximum likelihood in the right family: per parameter a squared error of about 1/n.
    components = len(mixture[0])
    assert len(GaussianMixtureScore.fit(cloud).mean) == components
    assert errors["mixture"] < 2 * np.sqrt((6 * components - 1) / N)
    # No kernel rule below is worse than no score at all, nor as good as the right family.
    assert 2 * errors["mixture"] < errors["kernel"] < 0.75


@pytest.mark.parametrize("mixture", [NORMAL, MODES])
def test_the_kernel_score_is_the_blurred_clouds_with_the_noise_theory_gives(mixture):
    """Where ρ is not small, E‖∇log ρ̂ − ∇log ρ‖² ≈ d/(2(4π)^(d/2) n ρ) in units of the kernel."""
    cloud, points = draw(mixture, N, 0), draw(mixture, N, 1)
    kernel = KernelScore.fit(cloud)
    units = np.linalg.inv(kernel.whitening)
    density = np.exp(log_components(mixture, points, units @ units.T)).sum(axis=1)
    bulk = density > np.quantile(density, 0.25)
    error = (kernel(points) - true_score(mixture, points, units @ units.T)) @ units
    noise = 1 / (4 * np.pi * N * density * np.linalg.det(units))
    assert np.mean(np.sum(error[bulk] ** 2, axis=1)) == pytest.approx(np.mean(noise[bulk]), rel=0.4)


def test_a_uniform_cloud_has_no_score_inside():
    rng = np.random.default_rng(0)
    cloud, points = rng.random((N, 2)), 0.2 + 0.6 * rng.random((N, 2))
    errors = {m: float(np.sqrt(np.mean(fit_score(cloud, method=m)(points) ** 2))) for m in METHODS}
    # One normal of the same variance would say 12(x − ½): this many per unit of length.
    normal = np.sqrt(np.mean((12 * (points - 0.5)) ** 2))
    print(f"rms score inside a uniform square: {errors}; a single normal's {normal:.2f}")
    # Edges are not normal: a mixture ripples inside, a kernel sees its own neighbourhood only.
    assert errors["kernel"] < 0.4 * normal < errors["mixture"] < 2 * normal
    # At its edge the kernel's density falls off with the kernel, in each direction alone.
    kernel = KernelScore.fit(cloud)
    h = 1 / kernel.whitening[0, 0]
    edge = np.column_stack([np.full(50, 1.0), np.linspace(0.3, 0.7, 50)])
    expected = -norm.pdf(0) / h / 0.5
    assert np.mean(kernel(edge)[:, 0]) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", [1e-6, 1e6, np.array([1e-6, 1e6])])
def test_units_and_origin_only_rescale_the_score(method, unit):
    """Determinants from 1e-24 to 1e24: no component may be dropped for being small or large."""
    cloud, points = draw(MODES, 500, 0), draw(MODES, 50, 1)
    expected = fit_score(cloud, method=method)(points) / unit
    moved = fit_score(unit * (cloud + 3.0), method=method)(unit * (points + 3.0))
    np.testing.assert_allclose(moved * unit, expected * unit, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_the_score_is_the_gradient_of_the_log_density(method):
    cloud, points = draw(MODES, 300, 0), draw(MODES, 20, 1)
    fitted = fit_score(cloud, method=method)
    step = 1e-5
    for i, e in enumerate(np.eye(2)):
        slope = (fitted.log_density(points + step * e) - fitted.log_density(points - step * e)) / (
            2 * step
        )
        np.testing.assert_allclose(fitted(points)[:, i], slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_density_is_normalised_in_the_clouds_units(method):
    cloud = 100 * draw(MODES, 300, 0)[:, :1]
    grid = np.linspace(-1000, 1000, 20_001)[:, None]
    density = np.exp(fit_score(cloud, method=method).log_density(grid))
    assert np.sum(density) * 0.1 == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_weights_count(method):
    """Weights exp(x) turn a standard normal into one around 1."""
    rng = np.random.default_rng(0)
    cloud, points = rng.normal(size=(4000, 1)), rng.normal(size=(500, 1)) + 1
    weight = np.exp(cloud[:, 0])
    fitted = fit_score(cloud, weight / weight.sum(), method)
    # n/e particles' worth (√(2e/n) = 0.04 for two parameters); the kernel also blurs.
    assert relative_error(fitted(points), 1 - points) < {"mixture": 0.15, "kernel": 0.35}[method]
    assert relative_error(fit_score(cloud, method=method)(points), 1 - points) > 0.7


def test_halves_of_a_particle_leave_the_kernels_shape():
    """At one given bandwidth: the rules count particles, and halves are more of them."""
    cloud, points = draw(MODES, 100, 0), draw(MODES, 10, 1)
    twice = np.concatenate([cloud, cloud])
    rng = np.random.default_rng(0)
    weight = rng.random(100)
    share = rng.random(100)
    halves = np.concatenate([share * weight, (1 - share) * weight])
    whole = KernelScore.fit(cloud, weight, bandwidth=0.4)
    split = KernelScore.fit(twice, halves, bandwidth=0.4)
    np.testing.assert_allclose(split(points), whole(points), rtol=1e-9)
    np.testing.assert_allclose(split(cloud), whole(cloud), rtol=1e-9, atol=1e-9)


def test_at_its_own_particles_the_kernel_score_leaves_them_out():
    cloud = draw(NORMAL, 200, 0)
    kernel = KernelScore.fit(cloud, bandwidth=0.4)
    others = [
        KernelScore(
            np.delete(kernel.centre, i, axis=0),
            np.delete(kernel.weight, i),
            kernel.mean,
            kernel.whitening,
            kernel.factor,
        )(cloud[i : i + 1])[0]
        for i in range(5)
    ]
    np.testing.assert_allclose(kernel(cloud[:5]), others, rtol=1e-9)


@pytest.mark.parametrize(
    ("bandwidth", "factor"),
    [
        ("gradient", (4 / (6 * N)) ** (1 / 8)),
        ("silverman", (1 / N) ** (1 / 6)),
        ("scott", N ** (-1 / 6)),
        (0.3, 0.3),
    ],
)
def test_bandwidths_in_two_dimensions(bandwidth, factor):
    cloud = draw(NORMAL, N, 0)
    units = np.linalg.inv(KernelScore.fit(cloud, bandwidth=bandwidth).whitening)
    np.testing.assert_allclose(units @ units.T, factor**2 * np.cov(cloud.T, bias=True), rtol=1e-4)


def test_a_bandwidth_is_positive():
    with pytest.raises(ValueError, match="positive number"):
        KernelScore.fit(draw(NORMAL, 20, 0), bandwidth=-1.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "cloud",
    [
        np.array([[0.0, 1.0], [2.0, 3.0]]),
        np.column_stack([np.linspace(0, 1, 30), np.full(30, 7.0)]),
        np.column_stack([np.linspace(0, 1, 30), 2 * np.linspace(0, 1, 30)]),
        np.repeat([[0.0, 0.0], [1.0, 5.0]], 20, axis=0),
        np.ones((5, 2)),
        np.random.default_rng(0).normal(size=(10, 40)),
    ],
    ids=["two", "flat feature", "on a line", "two points", "one point", "more features"],
)
def test_degenerate_clouds_have_finite_scores(method, cloud):
    fitted = fit_score(cloud, method=method)
    far = cloud + 1e3
    assert np.all(np.isfinite(fitted(np.concatenate([cloud, far]))))
    # Far away, the score points back: back along the shift.
    assert np.all(fitted(far).sum(axis=1) < 0)


def test_the_seed_decides():
    cloud, weight = draw(MODES, 300, 0), np.random.default_rng(0).random(300)
    one, same, other = (fit_score(cloud, weight, seed=seed)(cloud[:5]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_chunks_do_not_change_the_score(method, monkeypatch):
    cloud, points = draw(MODES, 60, 0), draw(MODES, 50, 1)
    fitted = fit_score(cloud, method=method)
    whole = fitted(points), fitted.log_density(points)
    monkeypatch.setattr(score_module, "_CHUNK_BYTES", 8 * 4 * 60 * 7)
    np.testing.assert_allclose(fitted(points), whole[0], rtol=1e-10)
    np.testing.assert_allclose(fitted.log_density(points), whole[1], rtol=1e-10)
    assert fitted(points[:0]).shape == (0, 2)
