"""An energy or a basis as plain JSON types, and back: never a pickle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import equinox as eqx
import jax
import numpy as np

from bayesjko.models.bases import Basis
from bayesjko.models.energies import LinearEnergy

__all__ = ["decode", "encode"]

_ROOTS: tuple[type[eqx.Module], ...] = (Basis, LinearEnergy)


def encode(module: Any) -> Any:
    """A tree of modules, arrays and numbers as JSON types; floats keep every bit.

    Raises:
        TypeError: something in it is neither a known module nor plain data.
    """
    if isinstance(module, eqx.Module):
        name = type(module).__name__
        if name not in dict(_known()):
            raise TypeError(f"{name} is not a basis or an energy that a file can hold.")
        return {"class": name} | {
            f.name: encode(getattr(module, f.name)) for f in fields(module) if f.init
        }
    if isinstance(module, np.ndarray | jax.Array):
        array = np.asarray(module)
        return {"array": array.ravel().tolist(), "shape": list(array.shape)}
    if isinstance(module, list | tuple):
        return [encode(item) for item in module]
    if module is None or isinstance(module, bool | int | float | str):
        return module
    raise TypeError(f"{type(module).__name__} is not something a file can hold.")


def decode(specification: Any) -> Any:
    """What `encode` was given.

    Raises:
        ValueError: it names a class this version does not know.
    """
    if isinstance(specification, list):
        return tuple(decode(item) for item in specification)
    if not isinstance(specification, dict):
        return specification
    if "array" in specification:
        return np.array(specification["array"]).reshape(specification["shape"])
    known = dict(_known())
    name = specification.get("class")
    if name not in known:
        raise ValueError(
            f"The file holds an energy part {name!r} that this version does not know; "
            f"it knows {', '.join(sorted(known))}."
        )
    return known[name](**{k: decode(v) for k, v in specification.items() if k != "class"})


def _known() -> Iterator[tuple[str, type[eqx.Module]]]:
    """Every basis and energy there is, by name: a new one needs no entry here."""
    waiting = list(_ROOTS)
    while waiting:
        found = waiting.pop()
        yield found.__name__, found
        waiting.extend(found.__subclasses__())
