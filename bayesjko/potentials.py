"""Potentials with known formulas: the truths that simulations are made with.

The fifteen of the JKOnet* benchmark (arXiv 2406.12616, appendix; where its public code and its
text differ, the code, which made the published numbers) and four of our own. Each is the value
at one point, in any dimension, and serves as V(x) and as W(x − x′) alike. Some come from
functions of two variables: there the two are the means of the first and the last half of the
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["CHAINED", "POTENTIALS", "Potential"]

Potential = Callable[[Float[Array, " d"]], Float[Array, ""]]


def styblinski_tang(x: Float[Array, " d"]) -> Float[Array, ""]:
    """½ Σ xᵢ⁴ − 16xᵢ² + 5xᵢ: two wells a coordinate, near −2.9 (deep) and 2.7."""
    return 0.5 * jnp.sum(x**4 - 16.0 * x**2 + 5.0 * x)


def holder_table(x: Float[Array, " d"]) -> Float[Array, ""]:
    """10 |sin a cos b exp|1 − |x|/π||: a periodic landscape with kinked valleys."""
    a, b = _halves(x)
    wave = jnp.sin(a) * jnp.cos(b)
    # Not jnp.abs, whose gradient at the kink is 1: a particle would push itself along.
    return 10.0 * wave * jnp.sign(wave) * jnp.exp(jnp.abs(1.0 - _norm(x) / jnp.pi))


def flowers(x: Float[Array, " d"]) -> Float[Array, ""]:
    """Σ xᵢ + 2 sin|xᵢ|^1.2: ripples on a slope."""
    return jnp.sum(x + 2.0 * jnp.sin(jnp.abs(x) ** 1.2))


def oakley_ohagan(x: Float[Array, " d"]) -> Float[Array, ""]:
    """5 Σ sin xᵢ + cos xᵢ + xᵢ² + xᵢ: a bowl with a gentle ripple."""
    return 5.0 * jnp.sum(jnp.sin(x) + jnp.cos(x) + x**2 + x)


def watershed(x: Float[Array, " d"]) -> Float[Array, ""]:
    """Σ (xᵢ + xᵢ²(xᵢ₊₁ + 4))/10 over neighbouring coordinates; unbounded below."""
    here, after = x[:-1], x[1:]
    return jnp.sum(here + here**2 * (after + 4.0)) / 10.0


def ishigami(x: Float[Array, " d"]) -> Float[Array, ""]:
    """Sin a + 7 sin² b + 0.1 c⁴ sin a, with c = (a + b)/2."""
    a, b = _halves(x)
    return jnp.sin(a) + 7.0 * jnp.sin(b) ** 2 + 0.1 * (0.5 * (a + b)) ** 4 * jnp.sin(a)


def friedman(x: Float[Array, " d"]) -> Float[Array, ""]:
    """(10 sin πpq + 20(p sin q − ½)² + 10(p cos q − 1)² + q sin p/10)/100: ridges and ripples.

    There p = 2(a − 7) and q = b − 7.
    """
    a, b = _halves(x)
    p, q = 2.0 * (a - 7.0), b - 7.0
    waves = 10.0 * jnp.sin(jnp.pi * p * q) + 0.1 * q * jnp.sin(p)
    return (waves + 20.0 * (p * jnp.sin(q) - 0.5) ** 2 + 10.0 * (p * jnp.cos(q) - 1.0) ** 2) / 100.0


def sphere(x: Float[Array, " d"]) -> Float[Array, ""]:
    """−10|x|²: everything flees the origin, at rate 20."""
    return -10.0 * jnp.sum(x**2)


def bohachevsky(x: Float[Array, " d"]) -> Float[Array, ""]:
    """10(a² + 2b² − 0.3 cos 3πa − 0.4 cos 4πb): a bowl with fine ripples."""
    a, b = _halves(x)
    ripples = 0.3 * jnp.cos(3.0 * jnp.pi * a) + 0.4 * jnp.cos(4.0 * jnp.pi * b)
    return 10.0 * (a**2 + 2.0 * b**2 - ripples)


def wavy_plateau(x: Float[Array, " d"]) -> Float[Array, ""]:
    """Σ cos πxᵢ + xᵢ⁴/2 − 3xᵢ² + 1."""
    return jnp.sum(jnp.cos(jnp.pi * x) + 0.5 * x**4 - 3.0 * x**2 + 1.0)


def zigzag_ridge(x: Float[Array, " d"]) -> Float[Array, ""]:
    """Σ (xᵢ − xᵢ₊₁)² + (xᵢ + xᵢ₊₁) cos xᵢ + xᵢ² xᵢ₊₁ over neighbours; unbounded below."""
    here, after = x[:-1], x[1:]
    return jnp.sum((here - after) ** 2 + jnp.cos(here) * (here + after) + here**2 * after)


def double_exp(x: Float[Array, " d"]) -> Float[Array, ""]:
    """200 exp(−|x − 3·1|²/20) + 200 exp(−|x + 3·1|²/20): two hills."""
    hills = [jnp.exp(-jnp.sum((x - centre) ** 2) / 20.0) for centre in (3.0, -3.0)]
    return 200.0 * (hills[0] + hills[1])


def relu(x: Float[Array, " d"]) -> Float[Array, ""]:
    """−50 Σ max(xᵢ, 0): a plain that ends in slopes."""
    return -50.0 * jnp.sum(jnp.maximum(x, 0.0))


def rotational(x: Float[Array, " d"]) -> Float[Array, ""]:
    """−500(angle of (a, b) seen from (−5, −5), plus π): the population turns round that corner."""
    a, b = _halves(x)
    return -500.0 * (jnp.arctan2(b + 5.0, a + 5.0) + jnp.pi)


def flat(x: Float[Array, " d"]) -> Float[Array, ""]:
    """Zero everywhere."""
    return jnp.zeros((), x.dtype)


def double_well(x: Float[Array, " d"]) -> Float[Array, ""]:
    """(x₁² − 1)² + Σ xᵢ² over the other coordinates: wells at x₁ = ±1, a barrier of 1.

    Examples:
        >>> float(double_well(jnp.array([1.0, 0.0]))), float(double_well(jnp.array([0.0, 0.0])))
        (0.0, 1.0)
    """
    return (x[0] ** 2 - 1.0) ** 2 + jnp.sum(x[1:] ** 2)


def tilted_double_well(x: Float[Array, " d"]) -> Float[Array, ""]:
    """The double well plus x₁/2 + 0.3 x₁x₂: unequal wells, the coordinates coupled."""
    return double_well(x) + 0.5 * x[0] + 0.3 * x[0] * jnp.sum(x[1:2])


def gaussian(x: Float[Array, " d"]) -> Float[Array, ""]:
    """−exp(−|x|²/2): attraction with a range of one, when it is an interaction."""
    return -jnp.exp(-0.5 * jnp.sum(x**2))


def quadratic(x: Float[Array, " d"]) -> Float[Array, ""]:
    """|x|²/2: the Ornstein–Uhlenbeck process of rate one."""
    return 0.5 * jnp.sum(x**2)


POTENTIALS: Mapping[str, Potential] = {
    function.__name__: function
    for function in (
        styblinski_tang,
        holder_table,
        flowers,
        oakley_ohagan,
        watershed,
        ishigami,
        friedman,
        sphere,
        bohachevsky,
        wavy_plateau,
        zigzag_ridge,
        double_exp,
        relu,
        rotational,
        flat,
        double_well,
        tilted_double_well,
        gaussian,
        quadratic,
    )
}
"""Every potential by its name."""

CHAINED = frozenset({"watershed", "zigzag_ridge"})
"""Those that sum over neighbouring coordinates, and so need two dimensions."""


def _halves(x: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    # One coordinate is both halves: the function on its diagonal.
    middle = len(x) // 2
    return jnp.mean(x[: max(middle, 1)]), jnp.mean(x[middle:])


def _norm(x: Float[Array, " d"]) -> Float[Array, ""]:
    # The gradient at 0, where a particle meets itself in an interaction, is 0 and not NaN.
    square = jnp.sum(x**2)
    somewhere = square > 0.0
    return jnp.where(somewhere, jnp.sqrt(jnp.where(somewhere, square, 1.0)), 0.0)
