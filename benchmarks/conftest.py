"""One table of ratios, each measured inside one run: other work on the machine slows both sides."""

import time

import pytest

ROWS = pytest.StashKey()


def pytest_configure(config):
    config.stash[ROWS] = []


@pytest.fixture
def table(request):
    """Adds a row: what, our figure, what it is beside, its figure, and the ratio allowed."""

    def add(what, ours, beside, reference, most=None, unit="s"):
        ratio = ours / reference
        request.config.stash[ROWS].append((what, ours, beside, reference, ratio, most, unit))
        assert most is None or ratio <= most, f"{what}: {ratio:.2f} times {beside}, not {most}"
        return ratio

    return add


@pytest.fixture
def beside(benchmark, table):
    """Seconds of one function beside another's, in turns: a row, and the ratio."""

    def measure(what, ours, name, reference, *, most=None, rounds=5):
        times = []
        ours(), reference()  # compiles

        def first():
            start = time.perf_counter()
            reference()
            times.append(time.perf_counter() - start)

        benchmark.pedantic(ours, setup=first, rounds=rounds)
        # the fastest round of each: other work only ever adds
        ratio = table(what, benchmark.stats.stats.min, name, min(times), most)
        benchmark.extra_info["ratio"] = ratio
        return ratio

    return measure


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.section("figures beside what they are measured against")
    cells = [("", "ours", "beside", "theirs", "ratio", "at most")]
    for what, ours, beside, reference, ratio, most, unit in rows:
        limit = "" if most is None else f"{most:g}"
        figures = f"{ours:.3g} {unit}", beside, f"{reference:.3g} {unit}", f"{ratio:.2f}", limit
        cells.append((what, *figures))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        left = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        terminalreporter.write_line("  ".join(left).rstrip())
