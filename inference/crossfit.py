"""The estimating function of moments, no particle weighing or steering its own equations.

At the truth E[XᵀΣ_W⁻¹g] is zero only where slope X, weight Σ_W⁻¹ and equations g are of different
particles: with many tests what they share is not small beside what is learned (Newey and
Windmeijer, Econometrica 77, 2009). So the equations of each fold of particles are taken with the
slope and the weight of the others (Chernozhukov et al., Econometrics Journal 21, 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve

from bayesjko.models.likelihoods.flow import Contraction
from bayesjko.models.likelihoods.moments import Sides, weight_covariance

__all__ = ["CrossFit"]

_FOLDS = 8
_FEWEST = 4  # particles of a fold


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Folds of every snapshot's particles.

    Attributes:
        fold: of each particle of each snapshot.
        factors: of Σ_W made of the particles outside each fold.
    """

    fold: Sequence[Int[np.ndarray, " _"]]
    factors: Sequence[Any]

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
        fold = []
        for weight in weights:
            order = rng.permutation(len(weight))
            order = order[np.argsort(weight[order], kind="stable")]
            own = np.empty(len(weight), dtype=int)
            own[order] = np.arange(len(weight)) % count
            fold.append(own)
        factors = []
        for f in range(count):
            kept = [own != f for own in fold]
            covariance = weight_covariance(
                [values[keep] for values, keep in zip(tests, kept, strict=True)],
                [w[keep] / w[keep].sum() for w, keep in zip(weights, kept, strict=True)],
                shrinkage,
            )
            # of as many particles as there are all together
            factors.append(cho_factor((1.0 - 1.0 / count) * covariance, lower=True))
        return cls(fold, factors)

    def score(
        self,
        gap: Float[np.ndarray, " E"],
        sides: Sequence[Sides],
        contractions: Sequence[Contraction],
    ) -> list[Float[np.ndarray, " K"]]:
        """Σ_f X₋ᶠᵀΣ_W₋ᶠ⁻¹gᶠ / F, each interval's part of it.

        Args:
            gap: g of all particles.
            sides: what each particle adds to it.
            contractions: of each interval's slope.
        """
        intervals, count = len(contractions), len(self.factors)
        pushes = [np.zeros((len(side.weight), gap.size // intervals)) for side in sides[:-1]]
        for f, factor in enumerate(self.factors):
            own = gap.reshape(intervals, -1).copy()
            for index, (side, fold) in enumerate(zip(sides, self.fold, strict=True)):
                part = np.where(fold == f, side.weight, 0.0)
                share = part / part.sum() - side.weight  # the fold's mean less that of all
                if side.target is not None:
                    own[index - 1] += share @ side.target
                if side.source is not None:
                    own[index] -= share @ side.source
            weighed = cho_solve(factor, own.ravel()).reshape(intervals, -1)
            for k, push in enumerate(pushes):
                others = np.where(self.fold[k] == f, 0.0, sides[k].weight)
                push += np.outer(others / others.sum() / count, weighed[k])
        return [contract(push) for contract, push in zip(contractions, pushes, strict=True)]
