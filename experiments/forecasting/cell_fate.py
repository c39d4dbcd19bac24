"""Which basin does each cell reach? A probability for each, with its interval.

Run it: `python -m bayesjko.experiments.forecasting.cell_fate`. Put your own file in place of the
simulation, and the bottoms of your basins in place of the two targets.
"""

from __future__ import annotations

import numpy as np

from bayesjko import fate_probabilities, fit, simulate

BASINS = {"left": [-1.0, 0.0], "right": [1.0, 0.0]}


def main(particles: int = 500, draws: int = 50, copies: int = 20) -> dict[str, np.ndarray]:
    """Fit a double well, and follow five cells on the line between its basins."""
    snapshots = simulate(
        "double_well", beta=0.2, particles=particles, tau=0.1, start="normal", seed=1
    )  # or read_snapshots("cells.csv")
    result = fit(snapshots, potential="poly:4", likelihood="flow")
    cells = np.column_stack([np.linspace(-1.0, 1.0, 5), np.zeros(5)])
    fates = fate_probabilities(result, cells, BASINS, draws=draws, copies=copies)
    right = fates.names.index("right")
    print("  from x1   P(right)   90% interval")
    for place, p, low, high in zip(
        cells[:, 0], fates.mean[:, right], fates.low[:, right], fates.high[:, right], strict=True
    ):
        print(f"{place:>9.2f} {p:>10.2f}   {low:.2f} to {high:.2f}")
    print("The interval is what the data leave open of the energy; P itself is the noise of life.")
    return {"cells": cells, "mean": fates.mean, "low": fates.low, "high": fates.high}


if __name__ == "__main__":
    main()
