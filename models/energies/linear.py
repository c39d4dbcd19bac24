"""Energies linear in their coefficients: potential, interaction and internal terms."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bayesjko.models.bases import Basis, Scaled, Stacked, build_basis
from bayesjko.models.blocks import weighted_blocks, whole_blocks
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.models.precision import double

__all__ = [
    "Field",
    "LinearEnergy",
    "build_linear_energy",
    "drift_designs",
    "field_of",
    "scaling_rows",
]

_PAIRS = 4000  # differences of particles an interaction's basis is placed on
_SCALING = 4000  # particles of each snapshot the features are scaled on


class LinearEnergy(eqx.Module):
    """J(ρ) = ∫V dρ + ½∬W(x − x′)dρdρ′ + β∫ρ log ρ with V = φ_V·θ_V and W = φ_W·θ_W.

    The coefficients θ are those of V, those of W, then β; a term that is absent has none.

    Attributes:
        potential: features of V.
        interaction: features of W, even.
        internal: β is unknown (present) rather than zero.
    """

    potential: Basis | None = None
    interaction: Basis | None = None
    internal: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Number of coefficients of each term that is present, in order."""
        sizes = {
            "potential": self.potential.size if self.potential is not None else 0,
            "interaction": self.interaction.size if self.interaction is not None else 0,
            "internal": int(self.internal),
        }
        return {term: size for term, size in sizes.items() if size}

    @property
    def size(self) -> int:
        """Number of coefficients K."""
        return sum(self.sizes.values())

    @property
    def slices(self) -> dict[str, slice]:
        """Where each present term's coefficients are."""
        ends = np.cumsum(list(self.sizes.values()))
        starts = ends - list(self.sizes.values())
        return {
            term: slice(int(a), int(b)) for term, a, b in zip(self.sizes, starts, ends, strict=True)
        }

    @property
    def timed(self) -> bool:
        """Whether its features are other ones at other times."""
        return self.at(0.0) is not self

    def at(self, time: float | Float[Array, ""]) -> LinearEnergy:
        """The energy as it is at a time, in standard units; itself where it does not change."""
        potential = None if self.potential is None else self.potential.at(time)
        if potential is self.potential:
            return self
        return LinearEnergy(potential, self.interaction, self.internal)

    def around(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Field:
        """The energy's first variation when the population is this weighted cloud."""
        felt = None
        if self.interaction is not None:
            felt = self.interaction.convolve(cloud, weight)
        return Field(self.potential, felt, self.internal)


class Field(eqx.Module):
    """What one particle feels: the first variation φ_V·θ_V + (φ_W∗ρ)·θ_W + β log ρ.

    Attributes:
        potential: features of V.
        interaction: features of W averaged over the population.
        internal: whether β is among the coefficients.
    """

    potential: Basis | None
    interaction: Basis | None
    internal: bool

    def value(self, x: Float[Array, " d"]) -> Float[Array, " J"]:
        """Features of V + W∗ρ at a point, β left out: J = K − 1 with an internal term."""
        felt = self._felt()
        return jnp.concatenate([part.value(x) for part in felt]) if felt else x[:0]

    def drift_design(self, x: Float[Array, " d"]) -> Float[Array, "d J"]:
        """∂drift/∂θ at a point, β left out: −∇φ_V and −∇(φ_W∗ρ)."""
        felt = self._felt()
        if not felt:
            return x[:, None][:, :0]
        return -jnp.concatenate([part.gradient(x) for part in felt], axis=1)

    def hessian(self, x: Float[Array, " d"], felt: Float[Array, " J"]) -> Float[Array, "d d"]:
        """∇∇(V + W∗ρ) at a point, for the coefficients of what is felt, β left out."""
        return Stacked(tuple(self._felt())).hessian(x, felt)

    def design(
        self, x: Float[Array, " d"], score: Float[Array, " d"] | None
    ) -> Float[Array, "d K"]:
        """∂force/∂θ at a point where the log-density has this gradient."""
        drift = self.drift_design(x)
        if not self.internal:
            return drift
        assert score is not None, "an internal term needs the gradient of the log-density"
        return jnp.concatenate([drift, -score[:, None]], axis=1)

    def _felt(self) -> list[Basis]:
        return [part for part in (self.potential, self.interaction) if part is not None]


def field_of(
    energy: LinearEnergy, cloud: Float[np.ndarray, "n d"], weight: Float[np.ndarray, " n"]
) -> Field:
    """The energy's first variation around a cloud of any size, compiled for few sizes.

    In the precision that is set. Without an interaction nothing of the cloud is felt, and nothing
    compiled.
    """
    if energy.interaction is None:
        return Field(energy.potential, None, energy.internal)
    ((points, share),) = weighted_blocks(cloud, weight, whole_blocks(len(cloud)))
    return _around(energy, points, share)


@eqx.filter_jit
def _around(energy: LinearEnergy, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Field:
    return energy.around(cloud, weight)


@eqx.filter_jit
def drift_designs(field: Field, points: Float[Array, "n d"]) -> Float[Array, "n d J"]:
    """∂drift/∂θ at points, β left out."""
    return jax.vmap(field.drift_design)(points)


def build_linear_energy(
    snapshots: Snapshots,
    *,
    potential: str | Basis = "rbf:100",
    interaction: str | Basis = "none",
    internal: bool = False,
    seed: int = 0,
) -> LinearEnergy:
    """The energy a user named, its features scaled to unit rms gradient on the data.

    Args:
        snapshots: in standard units.
        potential: a basis, or one as `build_basis` reads it, or `none`.
        interaction: likewise, for W(x − x′); a basis has even features.
        internal: whether β is to be learned.
        seed: of centres, frequencies and subsamples.

    Raises:
        BasisError: a name cannot be read.
        InputError: no term is present.
    """
    rng = np.random.default_rng(seed)
    rows = scaling_rows(snapshots.counts, rng)
    clouds = [cloud[chosen] for cloud, chosen in zip(snapshots.particles, rows, strict=True)]
    terms: dict[str, Basis | None] = {"potential": None, "interaction": None}
    with double():
        if potential != "none":
            basis = potential
            if isinstance(basis, str):
                basis = build_basis(basis, np.concatenate(clouds), seed=seed)
            then = [basis.at(time) for time in snapshots.times]
            terms["potential"] = Scaled(basis, _unit_gradient(then, clouds))
        if interaction != "none":
            basis = interaction
            if isinstance(basis, str):
                pairs = np.concatenate([_differences(cloud, rng) for cloud in clouds])
                basis = build_basis(basis, pairs, even=True, seed=seed)
            few = [jnp.asarray(cloud[: _PAIRS // 4]) for cloud in clouds]
            felt = [basis.convolve(cloud, jnp.full(len(cloud), 1.0 / len(cloud))) for cloud in few]
            terms["interaction"] = Scaled(basis, _unit_gradient(felt, few))
    energy = LinearEnergy(**terms, internal=internal)
    if energy.size == 0:
        raise InputError(
            "The energy has no term; give a potential, an interaction or the internal energy."
        )
    return energy


def scaling_rows(
    counts: Sequence[int], seed: int | np.random.Generator
) -> list[Int[np.ndarray, " r"]]:
    """Which particles of each snapshot features are placed and scaled on."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(count)[:_SCALING] for count in counts]


def _differences(cloud: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    first, second = rng.integers(len(cloud), size=(2, _PAIRS))
    return cloud[first] - cloud[second]


def _unit_gradient(bases: Sequence[Basis], clouds: Sequence[Array | np.ndarray]) -> np.ndarray:
    """1/(rms of a gradient's component) of each feature over all clouds."""
    squares = [
        np.sum(
            [
                np.asarray(_square_gradient(basis, points, weight))
                for points, weight in weighted_blocks(
                    np.asarray(cloud), np.full(len(cloud), 1.0 / len(cloud))
                )
            ],
            axis=0,
        )
        for basis, cloud in zip(bases, clouds, strict=True)
    ]
    rms = np.sqrt(np.mean(squares, axis=0))
    # a feature without slope where the data are keeps a scale that its prior can switch off
    return 1.0 / np.maximum(rms, 1e-6 * rms.max())


@eqx.filter_jit
def _square_gradient(
    basis: Basis, points: Float[Array, "n d"], weight: Float[Array, " n"]
) -> Float[Array, " K"]:
    return weight @ jnp.mean(jax.vmap(basis.gradient)(points) ** 2, axis=1)
