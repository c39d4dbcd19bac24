"""What the four sums of a million pairs cost beside the matrix product no fit can do without.

make bench

With n pairs in d dimensions and K features the Gram product alone is 2ndK² flops on 8ndK bytes:
2·10⁶·2·124² = 6.2·10¹⁰ flops on 2·10⁹ bytes, 31 flops a byte, above the 10 or so at which a core's
arithmetic and its memory are in balance: the product is what the roofline allows. What we add is
the design itself, ndK values and about 10 flops (`rbf`: an exponential of a point's distance) to 40
(`fourier`: a sine) each, written and read once more: 16ndK bytes, which chunks of 8 MB keep in the
cache.
"""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.likelihoods.residual import statistics

PAIRS = 10**6


def couplings(pairs):
    rng = np.random.default_rng(0)
    source = rng.normal(size=(pairs, 2))
    target = source + 0.1 * rng.normal(size=(pairs, 2))
    rows, weight = np.arange(pairs), np.full(pairs, 1 / pairs)
    return Couplings(source, target, weight, 0.1, float(pairs), rows, rows)


def energy_of(potential):
    clouds = np.random.default_rng(1).normal(size=(2, 4000, 2))
    return build_linear_energy(Snapshots(np.array([0.0, 1.0]), tuple(clouds)), potential=potential)


@pytest.mark.parametrize("potential", ["rbf:119", "poly:14", "fourier:119"])
def test_statistics_of_a_million_pairs_beside_their_gram_product(beside, potential):
    energy, data = energy_of(potential), couplings(PAIRS)
    eighth = np.random.default_rng(2).normal(size=(2 * PAIRS // 8, energy.size))

    def product():
        for _ in range(8):
            eighth.T @ eighth

    what = f"statistics of 10⁶ pairs, {potential}"
    beside(what, lambda: statistics(energy, data), "BLAS, Gram product", product, most=3.0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("interaction", ["none", "fourier:40"])
def test_a_million_pairs_fit_into_a_gigabyte(benchmark, table, interaction):
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
    table(
        f"memory of 10⁶ pairs, interaction {interaction}", peak / 1e9, "a gigabyte", 1.0, 1.0, "GB"
    )
