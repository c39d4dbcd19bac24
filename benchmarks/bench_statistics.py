"""What the four sums of a million pairs cost beside the matrix product no fit can do without.

make bench
"""

import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.likelihoods.residual import statistics

PAIRS = 10**6
ROUNDS = 5


def couplings(pairs):
    rng = np.random.default_rng(0)
    source = rng.normal(size=(pairs, 2))
    target = source + 0.1 * rng.normal(size=(pairs, 2))
    rows, weight = np.arange(pairs), np.full(pairs, 1 / pairs)
    return Couplings(source, target, weight, 0.1, float(pairs), rows, rows)


def energy_of(potential):
    clouds = np.random.default_rng(1).normal(size=(2, 4000, 2))
    return build_linear_energy(Snapshots(np.array([0.0, 1.0]), tuple(clouds)), potential=potential)


# Sines dominate the last one: XLA takes them one by one, at five times the price of the product.
@pytest.mark.parametrize(
    ("potential", "most"), [("rbf:119", 3.0), ("poly:14", 3.0), ("fourier:119", 9.0)]
)
def test_statistics_of_a_million_pairs_beside_their_gram_product(benchmark, potential, most):
    energy, data = energy_of(potential), couplings(PAIRS)
    statistics(energy, couplings(20_000))  # compiles
    eighth = np.random.default_rng(2).normal(size=(2 * PAIRS // 8, energy.size))
    products = []

    def product():
        """Each round beside its own measure: other work on the machine slows both."""
        start = time.perf_counter()
        for _ in range(8):
            eighth.T @ eighth
        products.append(time.perf_counter() - start)

    benchmark.pedantic(statistics, (energy, data), setup=product, rounds=ROUNDS)
    ratio = benchmark.stats.stats.min / min(products)
    benchmark.extra_info["ratio"] = ratio
    print(
        f"\n{potential} ({energy.size} features): {benchmark.stats.stats.min:.2f} s, the Gram "
        f"product alone {min(products):.2f} s, ratio {ratio:.2f}"
    )
    assert ratio < most


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("interaction", ["none", "fourier:40"])
def test_a_million_pairs_fit_into_a_gigabyte(benchmark, interaction):
    """The whole process, libraries included, and the closed form at the end."""
    potential = "rbf:119" if interaction == "none" else "rbf:79"
    script = f"""
        from pathlib import Path
        import numpy as np
        from bayesjko.inference.conditioning import maximise_evidence
        from bayesjko.models.data import Couplings, Snapshots
        from bayesjko.models.energies import build_linear_energy
        from bayesjko.models.likelihoods.residual import statistics

        rng, n = np.random.default_rng(0), {PAIRS}
        clouds = tuple(rng.normal(size=(2, n, 2)))
        energy = build_linear_energy(
            Snapshots(np.array([0.0, 1.0]), clouds), potential={potential!r},
            interaction={interaction!r},
        )
        assert energy.size == 124
        rows = np.arange(n)
        couplings = Couplings(*clouds, np.full(n, 1 / n), 1.0, float(n), rows, rows)
        terms = list(energy.slices.values())
        found = maximise_evidence(
            [statistics(energy, couplings)], energy.size, terms, "inverse-gamma"
        )
        assert np.all(np.isfinite(found.mean))
        # not getrusage: its peak is inherited from the process that started this one
        status = Path("/proc/self/status").read_text()
        print(1024 * int(status.partition("VmHWM:")[2].split()[0]))
    """

    def run():
        command = [sys.executable, "-c", textwrap.dedent(script)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    peak = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["peak_bytes"] = peak
    print(f"\ninteraction {interaction}: peak memory {peak / 1e6:.0f} MB")
    assert peak < 1e9
