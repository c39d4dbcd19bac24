"""When to sample next? The time whose snapshot makes the forecast surest.

Run it: `python -m bayesjko.experiments.forecasting.next_sampling_time`. Put your own file in place
of the simulation, the times you could sample at, and the time you want to forecast.
"""

from __future__ import annotations

from bayesjko import Design, expected_information, fit, simulate


def main(particles: int = 500, draws: int = 200) -> Design:
    """Fit four early snapshots of a relaxation, and weigh six times for the fifth."""
    snapshots = simulate(
        "tilted_double_well",
        beta=0.2,
        particles=particles,
        times=[0.0, 0.1, 0.2, 0.3],
        start="normal",
        seed=3,
    )  # or read_snapshots("cells.csv")
    result = fit(snapshots, potential="poly:4", likelihood="flow", draws=draws)
    times = [0.35, 0.4, 0.5, 0.7, 0.9, 1.1]
    design = expected_information(result, times, target=1.2, draws=draws)
    names = result.snapshots.features
    before = ", ".join(f"{name} ±{sd:.3g}" for name, sd in zip(names, design.before, strict=True))
    print(f"Forecast of the mean at time {design.target:g} as things are: {before}.")
    print("  snapshot at   information (nats)   forecast left uncertain by")
    for time, gain, after in zip(design.times, design.gain, design.after, strict=True):
        left = ", ".join(f"{name} ±{sd:.3g}" for name, sd in zip(names, after, strict=True))
        print(f"{time:>13g} {gain:>20.2f}   {left}")
    print(f"Best for this forecast: time {design.best:g}.")
    return design


if __name__ == "__main__":
    main()
