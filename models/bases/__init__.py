"""Bases: scalar features of a point whose combinations are potentials and interactions.

`BASES` is the table of what a user can name. A new basis is one file with a `build` function and
one line here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from bayesjko.models.bases import fourier, polynomial, powers, rbf
from bayesjko.models.bases.basis import Basis, CloudAverage, Even, Scaled, Stacked
from bayesjko.models.bases.fourier import Fourier
from bayesjko.models.bases.neural import Neural, Tangent, widths_of
from bayesjko.models.bases.polynomial import Polynomial
from bayesjko.models.bases.powers import Powers
from bayesjko.models.bases.rbf import RBF
from bayesjko.models.bases.timed import Timed, clock
from bayesjko.models.errors import InputError

__all__ = [
    "BASES",
    "RBF",
    "Basis",
    "BasisError",
    "CloudAverage",
    "Even",
    "Fourier",
    "Neural",
    "Polynomial",
    "Powers",
    "Scaled",
    "Stacked",
    "Tangent",
    "Timed",
    "build_basis",
    "clock",
    "widths_of",
]

Builder = Callable[..., Basis]

BASES: dict[str, Builder] = {
    "poly": polynomial.build,
    "powers": powers.build,
    "rbf": rbf.build,
    "fourier": fourier.build,
}


class BasisError(InputError):
    """A basis was asked for in words that name none: one sentence saying what can be named."""


def build_basis(
    name: str, points: Float[np.ndarray, "n d"], *, even: bool = False, seed: int = 0
) -> Basis:
    """The basis a user named, placed on the data.

    Args:
        name: `poly:DEGREE`, `powers:DEGREE`, `rbf:CENTRES[:WIDTH]`,
            `fourier:FEATURES[:WIDTH]`, joined by `+`.
        points: where the features must live, in standard units: particles for a potential,
            differences of particles for an interaction.
        even: only features with φ(−x) = φ(x), all that an interaction depends on.
        seed: of the k-means centres and of the random frequencies.

    Raises:
        BasisError: the name cannot be read.

    Examples:
        The monomials of two variables up to degree 2 but for the constant; waves beside them:

        >>> points = np.random.default_rng(0).normal(size=(100, 2))
        >>> build_basis("poly:2", points).size
        5
        >>> basis = build_basis("poly:2+fourier:6", points)
        >>> basis.value(points[0]).shape, basis.gradient(points[0]).shape
        ((16,), (2, 16))
    """
    parts = []
    for part in name.split("+"):
        kind, *arguments = part.strip().split(":")
        if kind not in BASES:
            raise BasisError(
                f"Unknown basis {part!r} in {name!r}; write one of "
                f"{', '.join(f'{word}:NUMBER' for word in BASES)} or none, joined by '+'."
            )
        try:
            numbers = [float(argument) for argument in arguments]
            parts.append(BASES[kind](*numbers, points=points, even=even, seed=seed))
        except (OverflowError, TypeError, ValueError) as error:
            said = "too many or too few numbers" if isinstance(error, TypeError) else error
            raise BasisError(
                f"Cannot use {part!r} as a basis ({said}); write {kind}:NUMBER, as in {kind}:4, "
                "which for rbf and fourier may be followed by a width, as in rbf:100:0.5."
            ) from error
    return parts[0] if len(parts) == 1 else Stacked(tuple(parts))
