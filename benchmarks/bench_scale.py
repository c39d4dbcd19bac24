"""How time and memory of a fit grow with the number of particles, read in parts.

The weak form with `fourier:200` in five dimensions over six snapshots. A pass over n particles
costs the 2ndMK flops of one product, M tests and K coefficients (10¹³ for 10⁷ particles), and
memory is that of one part and of a fixed number of particles whose influence is kept.
`BAYESJKO_BENCH=full` goes to 10⁷ particles, some twenty minutes of a processor; else to 10⁵.

make bench
"""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest

SIZES = (
    [10**4, 10**5, 10**6, 10**7] if os.environ.get("BAYESJKO_BENCH") == "full" else [10**4, 10**5]
)
SNAPSHOTS = 6
WATCHED = """
import sys
from pathlib import Path
from bayesjko.fit.__main__ import main
code = main(sys.argv[1:])
# not getrusage: its peak is inherited from the process that started this one
status = Path("/proc/self/status").read_text()
Path(sys.argv[-1] + ".peak").write_text(status.partition("VmHWM:")[2].split()[0])
sys.exit(code)
"""


def measured(particles, folder):
    """Processor seconds and peak bytes of one fit."""
    data, out = folder / f"{particles}.zarr", folder / f"{particles}.nc"
    subprocess.run(
        [sys.executable, "-m", "bayesjko.simulate", "--potential", "styblinski_tang",
         "--beta", "0.3", "--start", "normal", "--dimension", "5", "--snapshots", str(SNAPSHOTS),
         "--tau", "0.02", "--substeps", "2", "--particles", str(particles // SNAPSHOTS),
         "--out", str(data)],
        check=True, capture_output=True,
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", WATCHED, str(data), "--potential", "fourier:200",
         "--likelihood", "weak", "--scheduler", "here", "--quiet", "--out", str(out)],
        check=True, capture_output=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return seconds, 1024 * int((folder / f"{particles}.nc.peak").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_time_is_linear_and_memory_bounded(benchmark, table, tmp_path):
    benchmark.pedantic(lambda: None)
    seconds, peaks = zip(*(measured(n, tmp_path) for n in SIZES), strict=True)
    for n, each, peak in zip(SIZES, seconds, peaks, strict=True):
        table(f"weak, fourier:200, {n:.0e} particles", peak / 1e9, "allowed", 2.0, 1.0, "GB")
        table(f"weak, fourier:200, {n:.0e} particles", each, "the fewest particles", seconds[0])
    slopes = np.diff(np.log(seconds)) / np.diff(np.log(SIZES))
    table("exponent of the time in particles", float(slopes.max()), "linear", 1.0, 1.05, "")
