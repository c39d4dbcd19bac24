"""Independent items over all devices, those of other processes included.

The only place that knows how many devices there are. Everything else is computed by every process
for itself, alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.extend.core import jaxpr_as_fun
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

__all__ = ["first_process", "over_devices", "same_everywhere"]

_ITEMS = "items"


def over_devices(work: Callable[..., Any]) -> Callable[..., Any]:
    """Work on items along a leading axis, as many on every device, compiled once.

    Where they do not share them evenly, the last item fills up the last devices and is worked on
    for nothing. Devices never wait for one another within the work. With `jax.distributed` every
    process must ask for the same work on the same items, and gets all results.

    Args:
        work: (items, *shared) ↦ results, each item's its own; a tree of arrays with the items as
            leading axis. What is shared may hold what is no array, which is then compiled for.

    Returns:
        The same function; its items are arrays that NumPy can hold, and so are its results.
    """

    @eqx.filter_jit
    def compiled(items: Any, shared: Any) -> Any:
        if jax.device_count() == 1:
            return work(items, *shared)
        arrays, rest = eqx.partition(shared, eqx.is_array)
        # traced as for one device alone: libraries within compare shapes and know of no mesh
        traced, results = jax.make_jaxpr(
            lambda items, arrays: work(items, *eqx.combine(arrays, rest)), return_shape=True
        )(_share(items), arrays)
        spread = jax.shard_map(
            lambda *leaves: tuple(jaxpr_as_fun(traced)(*jax.tree.leaves(leaves))),
            mesh=_mesh(),
            in_specs=(P(_ITEMS), P()),
            out_specs=P(_ITEMS),
            check_vma=False,  # loops within begin with constants, which are no device's own
        )
        return jax.tree.unflatten(jax.tree.structure(results), spread(items, arrays))

    def run(items: Any, *shared: Any) -> Any:
        count, devices = len(jax.tree.leaves(items)[0]), jax.device_count()
        filled = np.minimum(np.arange(-(-count // devices) * devices), count - 1)
        items = jax.tree.map(lambda a: _placed(np.asarray(a)[filled], P(_ITEMS)), items)
        shared = jax.tree.map(lambda a: _placed(a, P()) if eqx.is_array(a) else a, shared)
        found = compiled(items, shared)
        return jax.tree.map(lambda a: process_allgather(a, tiled=True)[:count], found)

    return run


def first_process() -> bool:
    """Whether this is the process that writes what all of them share; the only one, mostly."""
    return jax.process_index() == 0


def same_everywhere(number: int) -> bool:
    """Whether all processes have the same number; each waits here for the others."""
    own = _placed(np.full(jax.device_count(), number), P(_ITEMS))
    return len(np.unique(process_allgather(own, tiled=True))) == 1


def _share(items: Any) -> Any:
    """Shapes of what one device has of them."""
    count = jax.device_count()

    def part(array: Any) -> Any:
        shape = (array.shape[0] // count, *array.shape[1:])
        return jax.ShapeDtypeStruct(shape, array.dtype)

    return jax.tree.map(part, items)


def _mesh() -> Mesh:
    return Mesh(np.array(jax.devices()), (_ITEMS,))


def _placed(values: Any, spec: P) -> Any:
    """On all devices, each process giving what its own are to hold."""
    if jax.device_count() == 1:
        return jnp.asarray(values)
    array, where = np.asarray(values), NamedSharding(_mesh(), spec)
    return jax.make_array_from_callback(array.shape, where, array.__getitem__)
