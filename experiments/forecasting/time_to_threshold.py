"""When will most of the population have passed a threshold? A time, with its interval.

Run it: `python -m bayesjko.experiments.forecasting.time_to_threshold`. Put your own file in
place of the simulation, and your own feature and threshold.
"""

from __future__ import annotations

import numpy as np

from bayesjko import fit, forecast, simulate

FEATURE, THRESHOLD, SHARE = 0, -0.5, 0.55


def main(particles: int = 500, draws: int = 100, horizon: float = 2.0) -> np.ndarray:
    """Fit the first half of a relaxation, and forecast when x1 falls below a threshold."""
    snapshots = simulate(
        "tilted_double_well", beta=0.2, particles=particles, tau=0.1, start="normal", seed=2
    )  # or read_snapshots("agents.csv")
    result = fit(snapshots, potential="poly:4", likelihood="flow")
    future = forecast(result, horizon=horizon, draws=draws)
    below = future.trajectories[..., FEATURE] < THRESHOLD
    share = np.average(below, axis=2, weights=future.weights)  # one curve a draw of the energy
    times = np.array([crossing(future.times, curve) for curve in share])
    reached = times[np.isfinite(times)]
    name = future.features[FEATURE]
    print(
        f"Share with {name} below {THRESHOLD:g}: {share[:, 0].mean():.0%} at {future.times[0]:g}."
    )
    print(
        f"{len(reached) / len(times):.0%} of draws reach {SHARE:.0%} before {future.times[-1]:g}."
    )
    if len(reached):
        low, middle, high = np.quantile(reached, [0.05, 0.5, 0.95])
        print(f"Those that do, at time {middle:.3g} (90% interval {low:.3g} to {high:.3g}).")
    return times


def crossing(times: np.ndarray, curve: np.ndarray) -> float:
    """When a curve first reaches SHARE, on the straight line between two times; never: infinity."""
    above = np.flatnonzero(curve >= SHARE)
    if not len(above):
        return np.inf
    k = int(above[0])
    if k == 0:
        return float(times[0])
    part = (SHARE - curve[k - 1]) / (curve[k] - curve[k - 1])
    return float(times[k - 1] + part * (times[k] - times[k - 1]))


if __name__ == "__main__":
    main()
