"""How particles move under an energy: one-step maps and the stochastic equation itself.

dX = −[∇V + ∇W∗ρ](X)dt + √(2β)dB, ρ being the simulated cloud (mean field).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import SCHEMES, Scheme

__all__ = ["advance", "drift"]

_TOLERANCE = 1e-10  # of an implicit step's mean field, relative and absolute, in standard units
_ROUNDS = 64  # of its iterations, at most
_NEAR = 1e-6  # of the descent to an implicit step, from which Newton's method is safe
_DESCENTS = 256
_POLISHES = 3


def drift(
    energy: LinearEnergy,
    coefficients: Float[Array, " K"],
    points: Float[Array, "n d"],
    cloud: Float[Array, "m d"],
    weight: Float[Array, " m"],
) -> Float[Array, "n d"]:
    """−∇V − ∇W∗ρ at points, ρ the weighted cloud."""
    field = energy.around(cloud, weight)
    felt = coefficients[: energy.size - int(energy.internal)]
    return jax.vmap(lambda x: field.drift_design(x) @ felt)(points)


def strength(energy: LinearEnergy, coefficients: Float[Array, " K"]) -> Float[Array, ""]:
    """β, a negative one counting as none: no population anti-diffuses."""
    where = energy.slices.get("internal")
    if where is None:
        return jnp.zeros((), coefficients.dtype)
    return jnp.maximum(coefficients[where.start], 0.0)


@eqx.filter_jit
def advance(
    energy: LinearEnergy,
    coefficients: Float[Array, "s K"],
    clouds: Float[Array, "s n d"],
    weight: Float[Array, " n"],
    duration: Float[Array, ""],
    steps: Array | int,
    keys: UInt32[Array, "s 2"],
    scheme: Scheme = "explicit",
    *,
    noisy: bool = True,
) -> Float[Array, "s n d"]:
    """Clouds after a time, each under its own draw of the coefficients.

    One step with `explicit`, `midpoint` or `implicit` is the map the residual likelihood of that
    scheme assumes; many `explicit` ones are the Euler–Maruyama method.

    Args:
        energy: what moves them.
        coefficients: one draw of θ a cloud.
        clouds: where particles are, in standard units.
        weight: of each particle in the mean field.
        duration: how long they move.
        steps: how many equal steps the time is divided into.
        keys: of each cloud's noise.
        scheme: where each step takes the drift.
        noisy: with √(2β)dB; the drift alone moves them if not.
    """
    dt = duration / steps

    def move(theta, cloud, key):  # type: ignore[no-untyped-def]
        spread = jnp.sqrt(2.0 * strength(energy, theta) * dt)

        def step(i, state):  # type: ignore[no-untyped-def]
            moved = _step(energy, theta, state, weight, dt, scheme)
            if not (energy.internal and noisy):
                return moved
            shock = jax.random.normal(jax.random.fold_in(key, i), state.shape, state.dtype)
            return moved + spread * shock

        return jax.lax.fori_loop(0, steps, step, cloud)

    return jax.lax.map(lambda each: move(*each), (coefficients, clouds, keys))


def _step(energy, theta, cloud, weight, dt, scheme):  # type: ignore[no-untyped-def]
    """One step, an implicit one as the proximal map that it is: the JKO scheme of a particle.

    y = x + τf(z) with z = x + share·(y − x) is where share·τ(V + W∗ρ)(z) + ½‖z − x‖² is stationary.
    """
    share = SCHEMES[scheme]
    if share == 0.0:
        return cloud + dt * drift(energy, theta, cloud, cloud, weight)
    import optimistix as optx

    felt = theta[: energy.size - int(energy.internal)]

    def settle(guess, _):  # type: ignore[no-untyped-def]
        """A small solve for each particle, the population it feels staying where it is guessed."""
        field = energy.around((1.0 - share) * cloud + share * guess, weight)
        step = share * dt

        def one(x, start):  # type: ignore[no-untyped-def]
            def proximal(z, _):  # type: ignore[no-untyped-def]
                return step * (field.value(z) @ felt) + 0.5 * jnp.sum((z - x) ** 2)

            def gap(z):  # type: ignore[no-untyped-def]
                return z - x - step * field.drift_design(z) @ felt

            # Downhill from where the particle is: where the step is long and the equation has many
            # roots, or none nearby, Newton's method jumps to one far outside the data.
            descent: optx.BFGS = optx.BFGS(_NEAR, _NEAR)
            z = optx.minimise(
                proximal, descent, x + share * (start - x), max_steps=_DESCENTS, throw=False
            ).value

            def polish(_, z):  # type: ignore[no-untyped-def]
                better = z - jnp.linalg.solve(jax.jacfwd(gap)(z), gap(z))
                closer = jnp.sum(gap(better) ** 2) < jnp.sum(gap(z) ** 2)
                return jnp.where(closer, better, z)

            z = jax.lax.fori_loop(0, _POLISHES, polish, z)
            return x + (z - x) / share

        return jax.vmap(one)(cloud, guess)

    if energy.interaction is None:
        return settle(cloud, None)
    rounds: optx.FixedPointIteration = optx.FixedPointIteration(_TOLERANCE, _TOLERANCE)
    return optx.fixed_point(settle, rounds, cloud, max_steps=_ROUNDS, throw=False).value
