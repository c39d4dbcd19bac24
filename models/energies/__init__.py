"""Energies that drive a population."""

from bayesjko.models.energies.linear import (
    Field,
    LinearEnergy,
    build_linear_energy,
    drift_designs,
    field_of,
    scaling_rows,
)

__all__ = [
    "Field",
    "LinearEnergy",
    "build_linear_energy",
    "drift_designs",
    "field_of",
    "scaling_rows",
]
