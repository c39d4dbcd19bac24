"""What if a term of the energy were another: removed, set, or scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayesjko.models.energies import LinearEnergy
from bayesjko.models.errors import InputError
from bayesjko.result import Result

__all__ = ["intervene", "read_assignments"]

_TERMS = {"beta": "internal", "potential": "potential", "interaction": "interaction"}


def intervene(
    result: Result,
    fixed: Mapping[str, float] | None = None,
    scale: Mapping[str, float] | None = None,
) -> Result:
    """The same posterior with terms of the energy changed in every draw.

    Args:
        result: of a fit.
        fixed: values for terms: `beta` in the user's units, also where the fit left it out; 0 for
            `potential` or `interaction` removes them.
        scale: factors for terms.

    Raises:
        InputError: there is no such term, or the value makes no sense for it.
    """
    fixed, scale = dict(fixed or {}), dict(scale or {})
    twice = sorted(set(fixed) & set(scale))
    if twice:
        raise InputError(f"The term {twice[0]} is both set and scaled; do one of them.")
    if "beta" in fixed and not result.energy.internal:
        result = _with_beta(result)
    factors = np.ones(result.energy.size)
    offsets = np.zeros(result.energy.size)
    for name, value in [*fixed.items(), *scale.items()]:
        where = _place(result, name, value)
        factors[where] = scale.get(name, 0.0)
        if name in fixed and value != 0.0:
            if name != "beta":
                raise InputError(
                    f"Cannot set the {name} to {value:g}: it is a function; set it to 0 to remove "
                    "it, or scale it."
                )
            offsets[where] = value / result.standardisation.energy
    posterior = result.posterior
    changed = replace(
        posterior,
        coefficients=factors * posterior.coefficients + offsets,
        mean=factors * posterior.mean + offsets,
        covariance=(
            None
            if posterior.covariance is None
            else factors[:, None] * posterior.covariance * factors
        ),
        walk=None if posterior.walk is None else factors**2 * posterior.walk,
    )
    return replace(result, posterior=changed)


def read_assignments(words: Sequence[str], option: str) -> dict[str, float]:
    """`beta=0` and the like.

    Raises:
        InputError: a word is no assignment of a number.
    """
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not equals or not np.isfinite(value):
            raise InputError(
                f"Cannot read {option} {word!r}; give a term and a number, such as beta=0."
            )
        found[name.strip()] = value
    return found


def _place(result: Result, name: str, value: float) -> slice:
    known = [
        ours for ours, term in _TERMS.items() if term in result.energy.slices or ours == "beta"
    ]
    where = result.energy.slices.get(_TERMS.get(name, ""))
    if where is None:
        raise InputError(
            f"This energy has no term {name!r} to change; there are {', '.join(known)}."
        )
    if not np.isfinite(value) or (name == "beta" and value < 0.0):
        raise InputError(
            f"Cannot use {value:g} for {name}; give a finite number, and none below 0 for beta."
        )
    return where


def _with_beta(result: Result) -> Result:
    """The energy with an internal term of no strength."""
    posterior, energy = result.posterior, result.energy

    def longer(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)

    return replace(
        result,
        energy=LinearEnergy(energy.potential, energy.interaction, internal=True),
        posterior=replace(
            posterior,
            coefficients=longer(posterior.coefficients),
            mean=longer(posterior.mean),
            covariance=None,
            prior_precision=None,
            information=None,
            walk=None if posterior.walk is None else longer(posterior.walk),
        ),
    )
