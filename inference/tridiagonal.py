"""Block-tridiagonal symmetric matrices: what ties each period to the next and to no other.

Elimination from the first block to the last, D′₀ = D₀, L_k = E_k D′_{k−1}⁻¹, D′_k = D_k − L_k E_kᵀ
(Golub and Van Loan, Matrix Computations, 4th edition, §4.5.1), so that Q = L D′ Lᵀ: time and memory
grow with the number of blocks and not with its cube. No pivot is sought outside its block, so Q
must be definite, or quasi-definite (Vanderbei, SIAM Journal on Optimization 5, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import lu_factor, lu_solve

__all__ = ["BlockTridiagonal"]


@dataclass(frozen=True, eq=False)
class BlockTridiagonal:
    """A symmetric matrix Q.

    Attributes:
        diagonal: D_k.
        below: E_k, left of each D_k but the first.
    """

    diagonal: Float[np.ndarray, "T B B"]
    below: Float[np.ndarray, "links B B"]

    @classmethod
    def cut(cls, matrix: Float[np.ndarray, "S S"], size: int) -> BlockTridiagonal:
        """The blocks of a matrix that are on its diagonal and next to it."""
        count = len(matrix) // size
        blocks = matrix.reshape(count, size, count, size).swapaxes(1, 2)
        rows = np.arange(count)
        return cls(blocks[rows, rows], blocks[rows[1:], rows[:-1]])

    def __add__(self, other: BlockTridiagonal) -> BlockTridiagonal:
        """Their sum."""
        return BlockTridiagonal(self.diagonal + other.diagonal, self.below + other.below)

    def times(self, factor: float) -> BlockTridiagonal:
        """A multiple of it."""
        return BlockTridiagonal(factor * self.diagonal, factor * self.below)

    @cached_property
    def log_determinant(self) -> float:
        """Of |Q|."""
        pivots = [np.log(np.abs(np.diag(factor[0]))) for factor in self._eliminated[1]]
        return float(np.sum(pivots) - 2.0 * np.sum(np.log(self._unit)))

    def solve(self, right: Float[np.ndarray, "T B r"]) -> Float[np.ndarray, "T B r"]:
        """Q⁻¹X."""
        _, factors, lower = self._eliminated
        found = self._unit[..., None] * right
        for k, step in enumerate(lower):
            found[k + 1] -= step @ found[k]
        for k, factor in enumerate(factors):
            found[k] = lu_solve(factor, found[k])
        return self._unit[..., None] * self._back(found)

    def coloured(self, white: Float[np.ndarray, "T B r"]) -> Float[np.ndarray, "T B r"]:
        """CX with Q = CCᵀ: what is white has the covariance Q then."""
        found = self._roots @ white
        lower = self._eliminated[2]
        found[1:] += [step @ before for step, before in zip(lower, found[:-1], strict=True)]
        return found / self._unit[..., None]

    def _back(self, found: np.ndarray) -> np.ndarray:
        lower = self._eliminated[2]
        for k in reversed(range(len(lower))):
            found[k] -= lower[k].T @ found[k + 1]
        return found

    @cached_property
    def _unit(self) -> Float[np.ndarray, "T B"]:
        """What makes the diagonal one: features differ by orders of magnitude."""
        own = np.abs(np.einsum("tbb->tb", self.diagonal))
        return 1.0 / np.sqrt(np.maximum(own, np.finfo(float).tiny))

    @cached_property
    def _eliminated(self) -> tuple[np.ndarray, list[Any], list[np.ndarray]]:
        """D′, its factors, and L below the diagonal, of the scaled matrix."""
        unit = self._unit
        pivots = unit[:, :, None] * self.diagonal * unit[:, None, :]
        below = unit[1:, :, None] * self.below * unit[:-1, None, :]
        factors: list[Any] = []
        lower: list[np.ndarray] = []
        for k, pivot in enumerate(pivots):
            if k:
                lower.append(lu_solve(factors[-1], below[k - 1].T).T)
                pivot -= lower[-1] @ below[k - 1].T
            factors.append(lu_factor(pivot))
        return pivots, factors, lower

    @cached_property
    def _roots(self) -> Float[np.ndarray, "T B B"]:
        """Of D′, where Q is positive definite.

        Raises:
            LinAlgError: it is not.
        """
        return np.linalg.cholesky(self._eliminated[0])
