"""Priors of a linear energy's coefficients, as NumPyro statements.

A prior says how much more precise than a normal of the base scale each coefficient is. Scales are
relative to the base, so one set of numbers fits every basis. `PRIORS` is the table of what a user
can name; a new prior is one function and one line there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpyro
from jaxtyping import Array, Float
from numpyro import distributions as dist

__all__ = ["PRIORS", "Prior", "ard", "hierarchical", "horseshoe", "normal"]

Prior = Callable[[Mapping[str, slice], int], Float[Array, "*K"]]
"""Terms and number of coefficients ↦ their precisions relative to the base, or one for all."""

_FEW = 0.1  # the horseshoe's global scale: how many coefficients are expected to matter
_SLAB = 4.0  # degrees of freedom of the slab that bounds those which do


def normal(terms: Mapping[str, slice], size: int) -> Float[Array, ""]:
    """The base itself: a normal whose scale is not asked about."""
    return jnp.ones(())


def hierarchical(terms: Mapping[str, slice], size: int) -> Float[Array, "*K"]:
    """A normal with one unknown scale a term, half-normal."""
    scales = {
        term: numpyro.sample(f"{term}_scale", dist.HalfNormal(1.0))
        for term in terms
        if terms[term].stop > terms[term].start
    }
    if len(scales) == 1:
        return next(iter(scales.values())) ** -2
    precision = jnp.ones(size)
    for term, scale in scales.items():
        precision = precision.at[terms[term]].set(scale**-2)
    return precision


def ard(terms: Mapping[str, slice], size: int) -> Float[Array, " K"]:
    """Automatic relevance determination: one unknown scale a coefficient, half-normal."""
    scale = numpyro.sample("coefficient_scale", dist.HalfNormal(1.0).expand([size]).to_event(1))
    return scale**-2


def horseshoe(terms: Mapping[str, slice], size: int) -> Float[Array, " K"]:
    """The regularised horseshoe: a few coefficients matter, none without bound.

    Piironen and Vehtari, Electronic Journal of Statistics 11 (2017), §3.
    """
    overall = numpyro.sample("overall_scale", dist.HalfCauchy(_FEW))
    local = numpyro.sample("coefficient_scale", dist.HalfCauchy(1.0).expand([size]).to_event(1))
    slab = numpyro.sample("slab_variance", dist.InverseGamma(0.5 * _SLAB, 0.5 * _SLAB))
    return 1.0 / slab + 1.0 / (overall * local) ** 2


PRIORS: Mapping[str, Prior] = {
    "normal": normal,
    "hierarchical": hierarchical,
    "ard": ard,
    "horseshoe": horseshoe,
}
"""Every prior by the name a user gives it."""
