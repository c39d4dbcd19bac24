"""Markov chains in blocks: each ends with all that the next one needs, so that a run can stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

from bayesjko.inference.running import Block, Run
from bayesjko.inference.sharding import over_devices
from bayesjko.inference.target import Target

__all__ = ["Chains", "Kernel", "run_chains"]

BLOCK = 100
"""Steps of every chain between two places where a run can stop."""

_TELL = 2.0  # seconds between two looks at how many draws are effective


@runtime_checkable
class Kernel(Protocol):
    """A Markov chain's transition; all of it can be traced, mapped and compiled.

    Attributes:
        warmup: how many of its first steps are no draws yet.
    """

    warmup: int

    def begin(self, key: PRNGKeyArray, position: Float[Array, " P"]) -> Any:
        """The state of a chain that starts here: arrays only, its own random key among them."""

    def step(self, state: Any) -> Any:
        """The next state."""

    def read(self, state: Any) -> tuple[Float[Array, " P"], Mapping[str, Array]]:
        """Position and statistics, by the names that ArviZ gives them."""


@dataclass(frozen=True, eq=False)
class Chains:
    """What chains left.

    Attributes:
        positions: one a draw.
        stats: of each draw.
        complete: not interrupted before the last draw.
        seconds: that this process sampled for.
    """

    positions: Float[np.ndarray, "chain draw P"]
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)
    complete: bool = True
    seconds: float = 0.0


def run_chains(
    target: Target, kernel: Kernel, *, chains: int, draws: int, seed: int, run: Run
) -> Chains:
    """Chains side by side, over all devices.

    The same seed gives the same bits, in one go or in several. An interruption (Ctrl-C) ends the
    run with the blocks that are done.

    Args:
        target: what is sampled.
        kernel: how.
        chains: how many.
        draws: of each chain.
        seed: of all of them.
        run: blocks to go on from, and where to keep new ones.

    Raises:
        KeyboardInterrupt: before there is a block of draws.
    """
    begun = time.perf_counter()
    keys = jax.random.split(jax.random.PRNGKey(seed), 2 * chains)
    start = jax.vmap(target.start)(keys[:chains])
    begin = over_devices(lambda chain: jax.vmap(kernel.begin)(*chain))
    # traced in any case: kernels may make what a step needs while they begin
    shape = jax.eval_shape(jax.vmap(kernel.begin), keys[chains:], start)
    advance = over_devices(_advance(kernel))
    blocks = [dict(block) for block in run.done]
    total = kernel.warmup + draws
    complete, told = True, begun
    bar = tqdm(total=total, disable=not run.progress, desc="sampling", unit="step")
    try:
        at = sum(_length(block) for block in blocks)
        bar.update(at)
        state = _restore(shape, blocks[-1]) if blocks else begin((keys[chains:], start))
        while at < total:
            # warm-up ends with a block, whatever its length
            end = kernel.warmup if at < kernel.warmup else total
            count = min(BLOCK, end - at)
            state, (positions, stats) = advance(state, jnp.asarray(count))
            block = {f"state{i}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
            block["positions"] = positions[:, :count]
            block |= {f"stat_{name}": values[:, :count] for name, values in stats.items()}
            if run.keep is not None:
                run.keep(block)
            blocks.append(block)
            at += count
            bar.update(count)
            due = at == total or time.perf_counter() > told + _TELL
            if run.progress and due and at > kernel.warmup:
                told = time.perf_counter()
                bar.set_postfix_str(_speed(_joined(blocks, kernel.warmup), begun))
    except KeyboardInterrupt:
        if sum(_length(block) for block in blocks) <= kernel.warmup:
            raise
        complete = False
    finally:
        bar.close()
    joined = _joined(blocks, kernel.warmup)
    return Chains(
        joined.pop("positions"),
        {name.removeprefix("stat_"): values for name, values in joined.items()},
        complete,
        time.perf_counter() - begun,
    )


def _advance(kernel: Kernel) -> Callable[[Any, Array], Any]:
    """Up to `BLOCK` steps of some chains in one compiled call, whatever their number."""

    def one(state: Any, count: Array) -> Any:
        def step(index, carry):  # type: ignore[no-untyped-def]
            state, kept = carry
            state = kernel.step(state)
            kept = jax.tree.map(lambda all, new: all.at[index].set(new), kept, kernel.read(state))
            return state, kept

        shape = jax.eval_shape(kernel.read, state)
        kept = jax.tree.map(lambda s: jnp.zeros((BLOCK, *s.shape), s.dtype), shape)
        return jax.lax.fori_loop(0, count, step, (state, kept))

    return jax.vmap(one, in_axes=(0, None))


def _restore(shape: Any, block: Block) -> Any:
    leaves, tree = jax.tree.flatten(shape)
    return jax.tree.unflatten(
        tree, [np.asarray(block[f"state{i}"], leaf.dtype) for i, leaf in enumerate(leaves)]
    )


def _length(block: Block) -> int:
    return int(block["positions"].shape[1])


def _joined(blocks: Sequence[Block], warmup: int) -> dict[str, np.ndarray]:
    names = [name for name in blocks[0] if not name.startswith("state")]
    return {
        name: np.concatenate([block[name] for block in blocks], axis=1)[:, warmup:]
        for name in names
    }


def _speed(joined: Mapping[str, np.ndarray], begun: float) -> str:
    """The least effective sample size a second over the coordinates."""
    from numpyro.diagnostics import effective_sample_size

    positions = joined["positions"]
    if positions.shape[1] < 4:
        return ""
    with np.errstate(all="ignore"):
        least = np.nanmin(effective_sample_size(positions))
    return f"{least / (time.perf_counter() - begun):.3g} effective draws/s"
