"""Energies of networks: trained on the snapshots, then an energy of what is inferred of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float

from bayesjko.inference.posterior import Posterior
from bayesjko.inference.residual import scored_couplings
from bayesjko.inference.tangent import tangent_of
from bayesjko.inference.training import Trained, Training, train_networks
from bayesjko.models.bases import Basis, BasisError, Neural, Scaled, Stacked, Timed, widths_of
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy, build_linear_energy
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.residual import Scheme
from bayesjko.settings import FitSettings

__all__ = [
    "check_network",
    "joined_energy",
    "joined_posterior",
    "network_energies",
    "network_widths",
]

_MOST = 4000  # particles of each snapshot that networks are trained on
_FEWEST = 10  # of each, where a network of time needs some for training and some to judge it
_MOST_WEIGHTS = 20_000  # of a network all of whose weights are inferred


def network_widths(settings: FitSettings) -> dict[str, tuple[int, ...]]:
    """Hidden units of each term, `potential` or `interaction`, that a user named a network.

    Raises:
        BasisError: it is one that cannot be read.
    """
    found = {term: _widths(name) for term, name in _named(settings).items()}
    return {term: widths for term, widths in found.items() if widths is not None}


def _named(settings: FitSettings) -> dict[str, str]:
    """What a user named the terms that can be networks."""
    return {"potential": settings.potential, "interaction": settings.interaction}


def _widths(name: str) -> tuple[int, ...] | None:
    try:
        return widths_of(name)
    except ValueError as error:
        raise BasisError(
            f"Cannot use {name!r} as a network ({error}); write mlp:UNITS,UNITS, one number a "
            "hidden layer, as in mlp:64,64."
        ) from error


def check_network(settings: FitSettings) -> None:
    """That what is asked of a network can be done.

    Raises:
        InputError: it cannot.
    """
    networks = network_widths(settings)
    if "interaction" in networks and (settings.inferred == "all" or settings.method == "ensemble"):
        raise InputError(
            "Of an interaction's network the last layer alone is inferred, and no ensemble is "
            "made of it; take --inferred last-layer and another method, or a basis for the "
            "interaction."
        )
    changing = settings.time_variation == "neural"
    if changing and "potential" not in networks:
        raise InputError(
            "An energy that changes as a network of time says has a network for its potential, and "
            f"here {settings.potential}; take --potential mlp:64,64, or --time-variation "
            "random-walk."
        )
    if changing and settings.inferred == "all":
        raise InputError(
            "Of a network of position and time the last layer alone is inferred; take --inferred "
            "last-layer, or --time-variation static."
        )
    if settings.inferred == "all" and (
        "potential" not in networks or settings.method == "ensemble"
    ):
        raise InputError(
            "All weights are inferred of a network, and not of an ensemble's; take --potential "
            "mlp:64,64, or --inferred last-layer."
        )


def network_energies(
    snapshots: Snapshots,
    widths: Mapping[str, tuple[int, ...]],
    scheme: Scheme,
    settings: FitSettings,
    *,
    members: int = 1,
    jobs: int = 1,
    progress: bool = False,
) -> list[LinearEnergy]:
    """Energies of so many networks, each from other weights, batches and pairs held out.

    Args:
        snapshots: in standard units.
        widths: units of each hidden layer of the terms that are networks.
        scheme: where the residual's force is taken.
        settings: of the fit.
        members: how many networks.
        jobs: threads that solve transport problems at a time.
        progress: show progress bars.

    Raises:
        InputError: the network is too large for what is asked of it, or there are too few snapshots
            to see it change.
    """
    span = None
    if settings.time_variation == "neural":
        if len(snapshots.times) < 3 or min(snapshots.counts) < _FEWEST:
            raise InputError(
                f"A network of position and time is for three snapshots or more, of at least "
                f"{_FEWEST} particles, and here are {len(snapshots.times)}, the smallest of "
                f"{min(snapshots.counts)}; take --time-variation static."
            )
        span = snapshots.times[[0, -1]]
    bases = _named(settings) | dict.fromkeys(widths, "none")
    others = None
    if settings.internal or set(bases.values()) != {"none"}:
        others = build_linear_energy(
            snapshots, **bases, internal=settings.internal, seed=settings.seed
        )
    parts = [_thinned(snapshots, settings.seed)]
    if span is not None:
        parts = list(parts[0].split(Training.held_out, settings.seed))
    couplings, *apart = [
        scored_couplings(
            each,
            settings.internal,
            scheme,
            solver="paired" if snapshots.paired else settings.coupling,
            density=settings.density,
            jobs=jobs,
            seed=settings.seed,
            progress=progress,
        )[0]
        for each in parts
    ]
    energies = []
    for member in range(members):
        trained = train_networks(
            couplings,
            widths,
            others,
            scheme,
            seed=int(np.random.SeedSequence([settings.seed, member]).generate_state(1)[0]),
            span=span,
            apart=apart[0] if apart else None,
            progress=progress,
        )
        energies.append(_energy(trained, snapshots, settings, span))
    return energies


def joined_energy(members: list[LinearEnergy]) -> LinearEnergy:
    """One energy with the features of all members, whose other terms are the same."""
    features = [member.potential for member in members]
    bases, scales = [], []
    for each in features:
        assert isinstance(each, Scaled)
        bases.append(each.basis)
        scales.append(np.asarray(each.scale))
    stacked = Scaled(Stacked(tuple(bases)), np.concatenate(scales))
    return LinearEnergy(stacked, members[0].interaction, members[0].internal)


def joined_posterior(members: list[Posterior], features: int) -> Posterior:
    """The equal mixture of the members' posteriors, each with coefficients for its features only.

    Args:
        members: of energies with as many features of the potential each.
        features: that number.
    """
    count = len(members)
    drawn: list[np.ndarray] = []
    means: list[np.ndarray] = []
    for index, member in enumerate(members):
        for values, into in ((member.coefficients, drawn), (member.mean, means)):
            own, rest = values[..., :features], values[..., features:]
            wide = np.zeros((*values.shape[:-1], count * features))
            wide[..., index * features : (index + 1) * features] = own
            into.append(np.concatenate([wide, rest], axis=-1))
    noise = [member.noise for member in members if member.noise is not None]
    return replace(
        members[0],
        coefficients=np.concatenate(drawn, axis=1),
        mean=np.mean(means, axis=0),
        covariance=None,
        noise=np.concatenate(noise, axis=1) if noise else None,
        log_evidence=None,
        method="ensemble",
        prior_precision=None,
        information=None,
        goodness_of_fit=None,
        sample_stats={},
        log_likelihood=None,
        tempering=1.0,
    )


def _energy(
    trained: Trained,
    snapshots: Snapshots,
    settings: FitSettings,
    span: Float[np.ndarray, "2"] | None,
) -> LinearEnergy:
    """Linear in what is inferred."""
    potential, interaction = trained.potential, trained.interaction
    basis: str | Basis = settings.potential if potential is None else potential.hidden
    if span is not None:
        assert isinstance(basis, Basis)  # a network of time is one of position
        basis = Timed(basis, np.asarray(span.mean()), span)
    energy = build_linear_energy(
        snapshots,
        potential=basis,
        interaction=settings.interaction if interaction is None else interaction.hidden,
        internal=settings.internal,
        seed=settings.seed,
    )
    if settings.inferred == "last-layer":
        return energy
    assert potential is not None  # all weights are inferred of its network
    hidden, last = potential.hidden, np.asarray(potential.last)
    assert isinstance(hidden, Neural)
    count = sum(a.size for a in jax.tree.leaves((hidden, last)))
    if count > _MOST_WEIGHTS:
        raise InputError(
            f"The network has {count} weights, and of more than {_MOST_WEIGHTS} only the last "
            "layer can be inferred; take fewer units, or --inferred last-layer."
        )
    tangent = tangent_of(hidden, last, snapshots, seed=settings.seed)
    return LinearEnergy(tangent, energy.interaction, energy.internal)


def _thinned(snapshots: Snapshots, seed: int) -> Snapshots:
    """A few particles of each snapshot; the same ones where they are paired."""
    if max(snapshots.counts) <= _MOST:
        return snapshots
    rows = [np.random.default_rng(seed).permutation(count)[:_MOST] for count in snapshots.counts]
    return replace(
        snapshots,
        particles=tuple(x[r] for x, r in zip(snapshots.particles, rows, strict=True)),
        weights=tuple(w[r] for w, r in zip(snapshots.weights, rows, strict=True)),
    )
