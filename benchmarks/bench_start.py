"""How long until something is there: the import, and the first result of a command.

Processor seconds, which other work on the machine hardly changes; a clock on the wall of an idle
machine shows about as many.

make bench
"""

import os
import resource
import subprocess
import sys

FIT = ["-m", "bayesjko.fit", "--demo", "double_well", "--potential", "poly:4", "--quiet"]
COLD, WARM = 20.0, 8.0


def seconds(arguments, **environment):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, env={**os.environ, **environment})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_the_import(benchmark, table):
    needed = "import equinox, jax, pandas, scipy.linalg, scipy.optimize, xarray"
    benchmark.pedantic(lambda: None)
    ours = min(seconds(["-c", "import bayesjko"]) for _ in range(3))
    theirs = min(seconds(["-c", needed]) for _ in range(3))
    table("import bayesjko", ours, "what it stands on", theirs, 1.5)


def test_the_first_result(benchmark, table, tmp_path):
    """A fit from nothing, and the same again with what it has compiled."""
    where = {name: "" for name in os.environ if "COMPILATION_CACHE" in name}
    where["BAYESJKO_CACHE"] = str(tmp_path)
    cold = benchmark.pedantic(lambda: seconds(FIT, **where), rounds=1)
    warm = seconds(FIT, **where)
    table("fit --demo, nothing compiled", cold, "what is allowed", COLD, 1.0)
    table("fit --demo, again", warm, "what is allowed", WARM, 1.0)
