"""How far a population moves over the observation, against what sampling alone makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import chdtrc

from bayesjko.models.bases import RBF
from bayesjko.models.data import Snapshots

__all__ = ["Movement", "movement_of"]

_CHANCE = 0.05  # p-value above which a movement is no more than sampling makes
_HARDLY = 2.0  # standard errors: less is seen by a test and too little to learn from
_BUMPS = 16
_MOST = 100_000
_FEWEST = 100  # particles of all snapshots for which bumps are worth their place


@dataclass(frozen=True)
class Movement:
    """How far the population is from standing still, without which β and V cannot be told apart.

    Means, spreads and shares in bumps of all snapshots are compared with one another.

    Attributes:
        ratio: root mean square difference between snapshots in standard errors: 1 if every
            snapshot is a sample of one population.
        p_value: probability of a larger one in that case.
    """

    ratio: float
    p_value: float

    @property
    def still(self) -> bool:
        """Whether the snapshots could be samples of one population, or as good as."""
        return self.p_value > _CHANCE or self.ratio < _HARDLY


def movement_of(snapshots: Snapshots, seed: int = 0) -> Movement:
    """The distance from equilibrium, from at most a hundred thousand particles a snapshot.

    Σ over tests and snapshots of squared deviations from the pooled mean, in standard errors:
    under one population its mean is p(T − 1) and its variance 2(T − 1) tr R², R the tests'
    correlation: a scaled χ² with these two moments gives the p-value (Satterthwaite, Biometrics
    2, 1946). Unlike Hotelling's form it needs no inverse, which many tests would make useless.
    """
    pooled = np.concatenate([cloud[:: _stride(cloud)] for cloud in snapshots.particles])
    origin = pooled.mean(axis=0)
    bumps = RBF.placed(pooled, _BUMPS, seed) if len(pooled) >= _FEWEST else None

    def tests(cloud: np.ndarray) -> np.ndarray:
        parts = [cloud - origin, (cloud - origin) ** 2]
        if bumps is not None:
            squares = cdist(cloud, np.asarray(bumps.centres), "sqeuclidean")
            parts.append(np.exp(-0.5 * squares / bumps.width**2))
        return np.concatenate(parts, axis=1)

    sizes, means, within = [], [], []
    for cloud, weight in zip(snapshots.particles, snapshots.weights, strict=True):
        share = weight[:: _stride(cloud)] / weight[:: _stride(cloud)].sum()
        values = tests(cloud[:: _stride(cloud)])
        mean = share @ values
        square = float(share @ share)
        values -= mean
        sizes.append(1.0 / square)
        means.append(mean)
        within.append((share[:, None] * values).T @ values / max(1.0 - square, 1e-6))
    weight = np.array(sizes) / np.sum(sizes)
    covariance = np.einsum("t,tij->ij", weight, np.stack(within))
    spread = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    deviations = (np.stack(means) - weight @ np.stack(means)) / spread
    statistic = float(np.sum(np.array(sizes)[:, None] * deviations**2))
    steps = len(sizes) - 1
    expected = float(len(spread) * steps)
    square = steps * float(np.sum((covariance / np.outer(spread, spread)) ** 2))
    freedom = expected**2 / square
    return Movement(
        ratio=float(np.sqrt(statistic / expected)),
        p_value=float(chdtrc(freedom, statistic * freedom / expected)),
    )


def _stride(cloud: np.ndarray) -> int:
    return -(-len(cloud) // _MOST)
