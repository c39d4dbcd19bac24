"""Gradients of the log density of a cloud, ∇log ρ̂, which the internal energy needs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any, Literal, Protocol, runtime_checkable

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular
from scipy.special import logsumexp, softmax
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = [
    "Bandwidth",
    "DensityMethod",
    "GaussianMixtureScore",
    "KernelScore",
    "Score",
    "fit_score",
]

Bandwidth = Literal["gradient", "scott", "silverman"]
DensityMethod = Literal["mixture", "kernel"]


@runtime_checkable
class Score(Protocol):
    """A fitted density: called, its log's gradient."""

    def __call__(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """∇log ρ̂."""

    def log_density(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Log ρ̂."""

    def refitted(self, cloud: Float[np.ndarray, "n d"], weight: Float[np.ndarray, " n"]) -> Score:
        """The same estimator on the same particles at other weights, its complexity kept."""


_CHUNK_BYTES = 32_000_000
# Variance added in every direction, relative to each feature's own variance.
_REGULARISATION = 1e-6
_MOST_COMPONENTS = 10
_GAIN = 1e-4  # of the mean log density: a round of EM that gains less is the last
_ROUNDS = 100


def fit_score(
    cloud: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"] | None = None,
    method: DensityMethod = "mixture",
    seed: int = 0,
) -> Score:
    """The function x ↦ ∇log ρ̂(x) for a density fitted to a weighted cloud.

    Args:
        cloud: the particles, in any units.
        weight: one a particle; equal if not given.
        method: a Gaussian mixture (parametric, and several times better where the density is
            smooth; ripples inside a cloud with sharp edges) or a kernel estimate (no shape
            assumed, biased towards zero, useless beyond about five features).
        seed: for the mixture's initialisation and the resampling of unequal weights.
    """
    if method == "mixture":
        return GaussianMixtureScore.fit(cloud, weight, seed=seed)
    if method == "kernel":
        return KernelScore.fit(cloud, weight)
    raise ValueError(f"Unknown density {method!r}; choose mixture or kernel.")


class GaussianMixtureScore(eqx.Module):
    """∇log of a mixture of normals; no component is ever dropped.

    Attributes:
        log_weight: log of each component's share.
        mean: the components' centres.
        whitening: W with WᵀW the component's precision.
        log_peak: log density of each component at its centre.
    """

    log_weight: Float[np.ndarray, " C"]
    mean: Float[np.ndarray, "C d"]
    whitening: Float[np.ndarray, "C d d"]
    log_peak: Float[np.ndarray, " C"]

    @classmethod
    def fit(
        cls,
        cloud: Float[np.ndarray, "n d"],
        weight: Float[np.ndarray, " n"] | None = None,
        *,
        components: int | None = None,
        seed: int = 0,
    ) -> GaussianMixtureScore:
        """Fitted by maximum likelihood to features of variance one, so in any units alike.

        The number of components is the one with the smallest BIC among 1, 2, … until two more
        have not improved it, at most 10. None may rest on fewer than 2(d + 1) particles: one on
        fewer has an unbounded likelihood. A cloud with fewer than that gets one normal with
        independent features. The fit takes no weights, so an unequally weighted cloud is first
        resampled systematically to its own size (a particle of weight w appears ⌊nw⌋ or ⌈nw⌉
        times) and counts as its effective size in both rules.
        """
        cloud = np.asarray(cloud, dtype=np.float64)
        count = float(len(cloud))
        if weight is not None and np.ptp(weight) > 0:
            count = float(np.sum(weight) ** 2 / np.sum(weight**2))
            cloud = cloud[_systematic(weight, np.random.default_rng(seed))]
        mean, scale = _standardisation(cloud, np.full(len(cloud), 1 / len(cloud)))
        z = (cloud - mean) / scale
        if components is None:
            mixture = _smallest_bic(z, count, seed)
        else:
            mixture = _fit_mixture(z, components, _covariance_type(z, count), seed)
        whitening = np.stack([_as_matrix(p).T for p in mixture.precisions_cholesky_]) / scale
        diagonals = np.abs(np.diagonal(whitening, axis1=1, axis2=2))
        return cls(
            log_weight=np.log(mixture.weights_),
            mean=mixture.means_ * scale + mean,
            whitening=whitening,
            log_peak=np.log(diagonals).sum(axis=1) - 0.5 * len(scale) * math.log(2 * math.pi),
        )

    def refitted(
        self, cloud: Float[np.ndarray, "n d"], weight: Float[np.ndarray, " n"]
    ) -> GaussianMixtureScore:
        """EM with weights that starts from here; as many components, of the same kind.

        Each component is given one more particle spread as its present self, without which one
        that weights leave alone with a particle would collapse onto it.
        """
        weight = weight / weight.sum()
        one = 1.0 / len(cloud)
        kept = np.eye(cloud.shape[1]) if not np.any(_off_diagonal(self.whitening)) else 1.0
        former = np.linalg.inv(np.swapaxes(self.whitening, 1, 2) @ self.whitening)
        now, value = self, -np.inf
        for _ in range(_ROUNDS):
            away = cloud - now.mean[:, None]
            square = np.sum((away @ np.swapaxes(now.whitening, 1, 2)) ** 2, axis=2)
            joint = (now.log_weight + now.log_peak)[:, None] - 0.5 * square
            peak = joint.max(axis=0)
            density = np.exp(joint - peak)
            total = density.sum(axis=0)
            before, value = value, float(weight @ (peak + np.log(total)))
            if value - before < _GAIN:
                break
            share = density * (weight / total)
            mass = np.maximum(share.sum(axis=1), np.finfo(float).tiny)
            mean = (share @ cloud) / mass[:, None]
            away = cloud - mean[:, None]
            scatter = np.swapaxes(share[:, :, None] * away, 1, 2) @ away
            covariance = kept * (scatter + one * former) / (mass + one)[:, None, None]
            now = _mixture(mass / mass.sum(), mean, covariance)
        return now

    def log_density(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Log ρ̂, normalised over space in the cloud's own units."""
        points = np.asarray(points, dtype=np.float64)
        chunks = _chunks(points, len(self.mean) + points.shape[1])
        return np.concatenate([logsumexp(self._joint(x), axis=1) for x in chunks])

    def __call__(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """∇log ρ̂, in the inverse of the cloud's units; finite however far the point."""
        points = np.asarray(points, dtype=np.float64)
        chunks = _chunks(points, len(self.mean) + points.shape[1])
        return np.concatenate([self._gradient(x) for x in chunks])

    def _joint(self, x: np.ndarray) -> np.ndarray:
        square = [
            np.sum(((x - m) @ w.T) ** 2, axis=1)
            for m, w in zip(self.mean, self.whitening, strict=True)
        ]
        return self.log_weight + self.log_peak - 0.5 * np.stack(square, axis=1)

    def _gradient(self, x: np.ndarray) -> np.ndarray:
        share = softmax(self._joint(x), axis=1)
        gradient = np.zeros_like(x)
        for r, m, w in zip(share.T, self.mean, self.whitening, strict=True):
            gradient -= r[:, None] * ((x - m) @ w.T @ w)
        return gradient


class KernelScore(eqx.Module):
    """∇log of a Gaussian kernel density estimate with one bandwidth matrix.

    The estimate is the cloud blurred by the bandwidth: its score is too small by the factor
    1/(1 + h²) on a normal cloud. At a particle of the cloud the score is that of the others
    (its own kernel has no gradient there and would only pull the score towards zero).

    Attributes:
        centre: the particles in the coordinates in which every kernel is standard normal.
        weight: one a particle, summing to one.
        mean: the cloud's mean.
        whitening: W with centre = W(x − mean).
        factor: h, the kernels' width in units of the cloud's.
    """

    centre: Float[np.ndarray, "m d"]
    weight: Float[np.ndarray, " m"]
    mean: Float[np.ndarray, " d"]
    whitening: Float[np.ndarray, "d d"]
    factor: float

    @classmethod
    def fit(
        cls,
        cloud: Float[np.ndarray, "n d"],
        weight: Float[np.ndarray, " n"] | None = None,
        *,
        bandwidth: Bandwidth | float = "gradient",
    ) -> KernelScore:
        """Kernels shaped like the cloud's covariance, scaled by a rule or a factor h.

        Like the covariance's diagonal where there are fewer than 2(d + 1) particles. With n the
        effective size: `gradient` h = (4/((d+4)n))^(1/(d+6)), the normal-reference rule for
        first derivatives (Chacón, Duong & Wand, Statistica Sinica 21, 2011); `silverman`
        h = (4/((d+2)n))^(1/(d+4)) and `scott` h = n^(−1/(d+4)), rules for the density itself
        and rougher here.
        """
        cloud = np.asarray(cloud, dtype=np.float64)
        w = np.ones(len(cloud)) if weight is None else np.asarray(weight, dtype=np.float64)
        w = w / w.sum()
        cloud, w = cloud[w > 0], w[w > 0]
        mean, scale = _standardisation(cloud, w)
        z = (cloud - mean) / scale
        covariance = (z.T * w) @ z + _REGULARISATION * np.eye(len(scale))
        count = 1 / np.sum(w**2)
        if count < _fewest(len(scale)):
            covariance = np.diag(np.diag(covariance))
        factor = _factor(bandwidth, count, len(scale))
        root = np.linalg.cholesky(covariance) * factor
        whitening = solve_triangular(root, np.diag(1 / scale), lower=True)
        return cls((cloud - mean) @ whitening.T, w, mean, whitening, factor)

    def refitted(
        self, cloud: Float[np.ndarray, "n d"], weight: Float[np.ndarray, " n"]
    ) -> KernelScore:
        """Kernels with these weights, as wide relative to the cloud."""
        return KernelScore.fit(cloud, weight, bandwidth=self.factor)

    def log_density(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Log ρ̂, normalised over space in the cloud's own units."""
        d = len(self.mean)
        peak = np.linalg.slogdet(self.whitening)[1] - 0.5 * d * math.log(2 * math.pi)
        chunks = _chunks(self._whitened(points), 4 * len(self.centre))
        return np.concatenate([peak + logsumexp(self._joint(z), axis=1) for z in chunks])

    def __call__(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """∇log ρ̂, in the inverse of the cloud's units; finite however far the point."""
        chunks = _chunks(self._whitened(points), 4 * len(self.centre))
        return np.concatenate([self._pull(z) for z in chunks]) @ self.whitening

    def _whitened(self, points: np.ndarray) -> np.ndarray:
        return (np.asarray(points, dtype=np.float64) - self.mean) @ self.whitening.T

    def _pull(self, z: np.ndarray) -> np.ndarray:
        """Towards the mean of the kernels' centres, as the point sees them."""
        joint = self._joint(z)
        square = 2 * (np.log(self.weight) - joint)
        itself = square < 1e-10 * (1 + np.sum(z**2, axis=1, keepdims=True))
        joint[itself & ~itself.all(axis=1, keepdims=True)] = -np.inf
        return softmax(joint, axis=1) @ self.centre - z

    def _joint(self, z: np.ndarray) -> np.ndarray:
        """Log of each kernel's weight times its density, up to the kernels' common peak."""
        square = np.sum(z**2, axis=1, keepdims=True) + np.sum(self.centre**2, axis=1)
        return np.log(self.weight) - 0.5 * (square - 2 * z @ self.centre.T)


def _mixture(
    share: Float[np.ndarray, " C"],
    mean: Float[np.ndarray, "C d"],
    covariance: Float[np.ndarray, "C d d"],
) -> GaussianMixtureScore:
    root = np.linalg.cholesky(covariance)
    whitening = np.linalg.inv(root)
    diagonals = np.diagonal(whitening, axis1=1, axis2=2)
    peak = np.log(diagonals).sum(axis=1) - 0.5 * mean.shape[1] * math.log(2 * math.pi)
    return GaussianMixtureScore(np.log(share), mean, whitening, peak)


def _off_diagonal(matrices: Float[np.ndarray, "C d d"]) -> Float[np.ndarray, "C d d"]:
    return matrices * (1.0 - np.eye(matrices.shape[-1]))


def _systematic(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(weight)
    cumulative = np.cumsum(weight) / np.sum(weight)
    places = (np.arange(n) + rng.random()) / n
    return np.minimum(np.searchsorted(cumulative, places, "right"), np.flatnonzero(weight)[-1])


def _standardisation(cloud: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature.

    A feature without spread has no scale of its own and takes the largest of the others.
    """
    mean = weight @ cloud
    scale = np.sqrt(weight @ (cloud - mean) ** 2)
    flat = scale <= 1e-12 * np.abs(cloud).max(axis=0)
    scale[flat] = scale[~flat].max() if np.any(~flat) else 1.0
    return mean, scale


def _fewest(d: int) -> int:
    """How many particles a full covariance must rest on."""
    return 2 * (d + 1)


def _covariance_type(z: np.ndarray, count: float) -> Literal["full", "diag"]:
    return "full" if count >= _fewest(z.shape[1]) else "diag"


def _smallest_bic(z: np.ndarray, count: float, seed: int) -> Any:
    d = z.shape[1]

    def bic(mixture: Any) -> float:
        parameters = len(mixture.weights_) * (1 + d + d * (d + 1) / 2) - 1
        return float(parameters * math.log(count) - 2 * count * mixture.score(z))

    kind = _covariance_type(z, count)
    best = _fit_mixture(z, 1, kind, seed)
    lowest, worse = bic(best), 0
    for components in range(2, _MOST_COMPONENTS + 1):
        if worse == 2 or components * _fewest(d) > count:
            break
        mixture = _fit_mixture(z, components, kind, seed)
        criterion = bic(mixture)
        if criterion < lowest and mixture.weights_.min() * count >= _fewest(d):
            best, lowest, worse = mixture, criterion, 0
        else:
            worse += 1
    return best


def _fit_mixture(z: np.ndarray, components: int, kind: Literal["full", "diag"], seed: int) -> Any:
    from sklearn.exceptions import ConvergenceWarning  # a second to import
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        components,
        covariance_type=kind,
        reg_covar=_REGULARISATION,
        max_iter=300,
        random_state=seed,
    )
    # EM's many small products are 17 times slower on two threads (4,163 × 5) than on one.
    with warnings.catch_warnings(), threadpool_limits(1):
        # A mixture short of its optimum is still a density; BIC judges it as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(z)


def _as_matrix(root: np.ndarray) -> np.ndarray:
    return np.diag(root) if root.ndim == 1 else root


def _factor(bandwidth: Bandwidth | float, n: float, d: int) -> float:
    if isinstance(bandwidth, str):
        rules = {
            "gradient": (4 / ((d + 4) * n)) ** (1 / (d + 6)),
            "silverman": (4 / ((d + 2) * n)) ** (1 / (d + 4)),
            "scott": n ** (-1 / (d + 4)),
        }
        return rules[bandwidth]
    if not bandwidth > 0:
        raise ValueError(f"The bandwidth's factor is {bandwidth}; give a positive number.")
    return float(bandwidth)


def _chunks(points: np.ndarray, floats_per_point: int) -> Iterator[np.ndarray]:
    """Consecutive rows, as many at once as keep their intermediates within bounded memory."""
    size = max(1, _CHUNK_BYTES // (8 * floats_per_point))
    for start in range(0, max(len(points), 1), size):
        yield points[start : start + size]
