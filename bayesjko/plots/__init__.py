"""Pictures of a result: one kind of picture a file, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.plots.chains import draw_chain_energy, draw_ranks, draw_traces
from bayesjko.plots.clouds import draw_clouds
from bayesjko.plots.forces import draw_forces
from bayesjko.plots.identifiability import draw_identifiability
from bayesjko.plots.interaction import draw_interaction
from bayesjko.plots.landscape import draw_landscape
from bayesjko.plots.scores import draw_scores
from bayesjko.plots.style import save, styled
from bayesjko.plots.trajectories import draw_trajectories
from bayesjko.result import Result

__all__ = ["PICTURES", "plot_result"]

PICTURES: Mapping[str, Callable[[Result, Snapshots | None], Figure | None]] = {
    "landscape": draw_landscape,
    "interaction": draw_interaction,
    "forces": draw_forces,
    "clouds": draw_clouds,
    "trajectories": draw_trajectories,
    "scores": draw_scores,
    "identifiability": draw_identifiability,
    "traces": draw_traces,
    "ranks": draw_ranks,
    "chain_energy": draw_chain_energy,
}
"""Every picture by the name of its file; one that does not apply to a result is None."""


def plot_result(result: Result, folder: str | Path, test: Snapshots | None = None) -> list[Path]:
    """Every picture that applies to a result, written to PNG files.

    The same result gives the same bytes, whatever Matplotlib settings are in force.

    Args:
        result: of a fit.
        folder: where to; made if it is not there.
        test: snapshots that the fit has not seen, with its features: what forecasts are shown
            against; the fitted ones if None.

    Returns:
        The files, in the order of `PICTURES`.

    Raises:
        InputError: the folder cannot be made, or the test snapshots have other features.
    """
    if test is not None and test.features != result.snapshots.features:
        raise InputError(
            f"The test snapshots have the features {', '.join(test.features)} and the fit "
            f"{', '.join(result.snapshots.features)}; give the same ones in the same order."
        )
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make the folder '{folder}' for pictures ({error.strerror}); choose another."
        ) from error
    written = []
    for name, draw in PICTURES.items():
        with styled():
            figure = draw(result, test)
            if figure is not None:
                written.append(save(figure, folder / f"{name}.png"))
    return written
