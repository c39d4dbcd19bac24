"""The estimating function of moments, no particle weighing or steering its own equations.

At the truth E[XᵀΣ_W⁻¹g] is zero only where slope X, weight Σ_W⁻¹ and equations g are of different
particles: with many tests what they share is not small beside what is learned (Newey and
Windmeijer, Econometrica 77, 2009). So the equations of each fold of particles are taken with the
slope and the weight of the others (Chernozhukov et al., Econometrics Journal 21, 2018). The same
of the slope of the estimating function: XᵀΣ_W⁻¹X counts X's own noise as information.

What the noise of slope and weight still does is found by leaving out one fold more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve

from bayesjko.models.likelihoods.moments import Sides, shrunk, still_covariance

__all__ = ["CrossFit", "Crossed"]

_FOLDS = 8
_FEWEST = 4  # particles of a fold
_FEWEST_FOLDS = 3  # of which one can be left out: another needs a third
_LEAST_INFORMING = 0.1  # of a direction's information in XᵀΣ_W⁻¹X: less cannot be told from none
# Jackknife errors of it, which are √2 too large where there is nothing: that many from none it is
# some; more on the way, since what is heard in one round and not in the next never ends.
_DOUBT, _SEARCHING = 1.4, 2.0


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Folds of every snapshot's particles.

    Attributes:
        fold: of each particle of each snapshot.
        spreads: what each fold adds to the covariance of each snapshot's tests.
        shrinkage: of that in Σ_W.
    """

    fold: Sequence[Int[np.ndarray, " _"]]
    spreads: Sequence[_Spread]
    shrinkage: float

    @classmethod
    def of(
        cls,
        tests: Sequence[Float[np.ndarray, "_ M"]],
        weights: Sequence[Float[np.ndarray, " _"]],
        shrinkage: float,
        seed: int,
    ) -> CrossFit:
        """Folds of nearly the same weight; as many as leave each some particles.

        Args:
            tests: ψ of every particle of each snapshot.
            weights: of the particles.
            shrinkage: of Σ_W.
            seed: of who is in which fold.
        """
        rng = np.random.default_rng([seed, len(weights)])
        count = max(2, min(_FOLDS, min(map(len, weights)) // _FEWEST))
        fold, spreads = [], []
        for values, weight in zip(tests, weights, strict=True):
            order = rng.permutation(len(weight))
            order = order[np.argsort(weight[order], kind="stable")]
            own = np.empty(len(weight), dtype=int)
            own[order] = np.arange(len(weight)) % count
            fold.append(own)
            spreads.append(_Spread.of(values, weight, own))
        return cls(fold, spreads, shrinkage)

    @property
    def count(self) -> int:
        """Number of folds."""
        return len(self.spreads[0].total)

    @property
    def shares(self) -> list[Float[np.ndarray, " F"]]:
        """Of each snapshot's weight that each fold has."""
        return [each.total for each in self.spreads]

    @cached_property
    def factors(self) -> list[Any]:
        """Of Σ_W made of the particles outside each fold."""
        return [
            cho_factor(still_covariance(self._blocks(f)), lower=True) for f in range(self.count)
        ]

    def _blocks(self, *left_out: int) -> list[Float[np.ndarray, "M M"]]:
        """Each snapshot's block of Σ_W without some folds, as if of as many particles as all."""
        kept = 1.0 - len(left_out) / self.count
        return [kept * shrunk(each.without(left_out), self.shrinkage) for each in self.spreads]

    @np.errstate(over="ignore")  # of particles that escape: whoever solves this looks at X
    def crossed(
        self,
        gap: Float[np.ndarray, " E"],
        sides: Sequence[Sides],
        slopes: Float[np.ndarray, "F E P"],
    ) -> Crossed:
        """The equations in their folds.

        Args:
            gap: g of all particles.
            sides: what each particle adds to it.
            slopes: X of each fold.
        """
        intervals = len(sides) - 1
        gaps = np.empty((self.count, gap.size))
        for f in range(self.count):
            own = gap.reshape(intervals, -1).copy()
            for index, (side, fold) in enumerate(zip(sides, self.fold, strict=True)):
                part = np.where(fold == f, side.weight, 0.0)
                share = part / part.sum() - side.weight  # the fold's mean less that of all
                if side.target is not None:
                    own[index - 1] += share @ side.target
                if side.source is not None:
                    own[index] -= share @ side.source
            gaps[f] = own.ravel()
        return Crossed(self, gaps, slopes)


@dataclass(frozen=True, eq=False)
class Crossed:
    """The equations at one θ, in folds.

    Attributes:
        folds: of the particles.
        gaps: g of each fold.
        slopes: X of each fold.
    """

    folds: CrossFit
    gaps: Float[np.ndarray, "F E"]
    slopes: Float[np.ndarray, "F E P"]

    @cached_property
    def _others(self) -> Float[np.ndarray, "F E P"]:
        """Σ_W₋ᶠ⁻¹X₋ᶠ."""
        return np.stack(
            [cho_solve(factor, self._mean_slope(f)) for f, factor in enumerate(self.folds.factors)]
        )

    def _mean_slope(self, *left_out: int) -> Float[np.ndarray, "E P"]:
        lost = self.slopes[list(left_out)].sum(axis=0)
        return (self.slopes.sum(axis=0) - lost) / (len(self.slopes) - len(left_out))

    @cached_property
    def score(self) -> Float[np.ndarray, " P"]:
        """Σ_f X₋ᶠᵀΣ_W₋ᶠ⁻¹gᶠ / F."""
        return np.einsum("fep,fe->p", self._others, self.gaps) / len(self.gaps)

    @cached_property
    def gram(self) -> Float[np.ndarray, "P P"]:
        """Its slope, Σ_f X₋ᶠᵀΣ_W₋ᶠ⁻¹Xᶠ / F, made symmetric."""
        found = np.tensordot(self._others, self.slopes, ([0, 1], [0, 1])) / len(self.slopes)
        return 0.5 * (found + found.T)

    def informing(
        self, shared: Float[np.ndarray, "P P"], *, searching: bool = False
    ) -> tuple[Float[np.ndarray, "P P"], Float[np.ndarray, "P P"]]:
        """The slope where it is more than noise, and what leaves the same of the score.

        In a direction in which nothing is learned (a potential that holds the particles together
        against their own diffusion, of a population at rest) X is nothing but noise. XᵀΣ_W⁻¹X
        counts that as information, and products between folds are noise of either sign: whoever
        divides by it is sure of anything. What its jackknife does not tell from none is none.

        Args:
            shared: XᵀΣ_W⁻¹X.
            searching: for the solution, where more doubt is in place.

        Returns:
            G, and P with PG = G and P² = P: no part of P(score) is of a direction without any G.
        """
        values, vectors = np.linalg.eigh(shared)
        scale = np.sqrt(np.maximum(values, np.finfo(float).eps * values.max()))
        ratios, turned = np.linalg.eigh((vectors / scale).T @ self.gram @ (vectors / scale))
        dual, basis = (vectors / scale) @ turned, (vectors * scale) @ turned
        least = np.full_like(ratios, _LEAST_INFORMING)
        if len(self.gaps) >= _FEWEST_FOLDS:
            each = np.array([np.sum(dual * (gram @ dual), axis=0) for _, gram in self._without])
            spread = np.sqrt((len(each) - 1) * each.var(axis=0))
            doubt = _SEARCHING if searching else _DOUBT
            least = np.maximum(_LEAST_INFORMING, doubt * spread)
        kept = basis * (ratios > least)
        return (kept * ratios) @ basis.T, kept @ dual.T

    def bias(
        self, inverse: Float[np.ndarray, "P P"], kept: Float[np.ndarray, "P P"]
    ) -> Float[np.ndarray, " P"]:
        """How far the noise of slope and weight moves the solution on average, to first order.

        Where particles that steer an equation are also some of those that moved the solution, the
        mean of their product is left. It is what leaving out one fold more tells (Quenouille,
        Biometrika 43, 1956), each solved to second order; no more than a standard deviation of any
        coefficient, beyond which that order says nothing.

        Args:
            inverse: Q⁻¹ of the solution.
            kept: P, what the solution hears of the score.
        """
        count = len(self.gaps)
        if count < _FEWEST_FOLDS:
            return np.zeros(len(inverse))
        moves = []
        for score, gram in self._without:
            move = inverse @ (kept @ (score - self.score))
            moves.append(move - inverse @ (kept @ ((gram - self.gram) @ move)))
        found = (count - 1) * np.mean(moves, axis=0)
        spreads = np.abs(found) / np.sqrt(np.diag(inverse))
        return found / max(1.0, float(np.max(spreads)))

    @cached_property
    def _without(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Score and its slope without each fold."""
        count = len(self.gaps)
        size = self.slopes.shape[2]
        scores, grams = np.zeros((count, size)), np.zeros((count, size, size))
        for f, factor in enumerate(self.folds.factors):
            here = self.folds._blocks(f)
            right = np.concatenate([self.gaps[f][:, None], self.slopes[f]], axis=1)
            weighed = cho_solve(factor, right)
            for j in set(range(count)) - {f}:
                less = [b - a for a, b in zip(here, self.folds._blocks(f, j), strict=True)]
                both = self._mean_slope(f, j).T @ weighed
                both -= self._others[f].T @ _covaried(less, weighed)
                scores[j] += both[:, 0] / (count - 1)
                grams[j] += both[:, 1:] / (count - 1)
        return list(zip(scores, grams, strict=True))


@dataclass(frozen=True, eq=False)
class _Spread:
    """Sums over each fold of one snapshot: Σw, Σw², Σwψ, Σw²ψ and Σw²ψψᵀ."""

    total: Float[np.ndarray, " F"]
    square: Float[np.ndarray, " F"]
    mean: Float[np.ndarray, "F M"]
    cross: Float[np.ndarray, "F M"]
    second: Float[np.ndarray, "F M M"]

    @classmethod
    def of(
        cls,
        values: Float[np.ndarray, "n M"],
        weight: Float[np.ndarray, " n"],
        fold: Int[np.ndarray, " n"],
    ) -> _Spread:
        parts = [(weight[fold == f], values[fold == f]) for f in range(fold.max() + 1)]
        return cls(
            np.array([w.sum() for w, _ in parts]),
            np.array([w @ w for w, _ in parts]),
            np.stack([w @ v for w, v in parts]),
            np.stack([w**2 @ v for w, v in parts]),
            np.stack([(w[:, None] * v).T @ (w[:, None] * v) for w, v in parts]),
        )

    def without(self, folds: Sequence[int]) -> Float[np.ndarray, "M M"]:
        """The covariance of the mean of ψ over the particles of all other folds."""
        left = list(folds)
        total, square, mean, cross, second = (
            each.sum(axis=0) - each[left].sum(axis=0)
            for each in (self.total, self.square, self.mean, self.cross, self.second)
        )
        mean = mean / total
        off = np.outer(cross, mean)
        return (second - off - off.T + square * np.outer(mean, mean)) / total**2


def _covaried(
    blocks: Sequence[Float[np.ndarray, "M M"]], right: Float[np.ndarray, "E c"]
) -> Float[np.ndarray, "E c"]:
    """`still_covariance(blocks) @ right`, block by block."""
    each = right.reshape(len(blocks) - 1, -1, right.shape[1])
    moved = np.concatenate([each[:1], np.diff(each, axis=0), -each[-1:]])
    pulled = np.stack([block @ part for block, part in zip(blocks, moved, strict=True)])
    return (pulled[:-1] - pulled[1:]).reshape(right.shape)
