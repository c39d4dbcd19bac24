"""JAX on the CPU, no screen, every shape in a signature checked, nothing compiled twice."""

import os
import sys

# Before the first import of either library; a setting of one's own stays.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

if "bayesjko" in sys.modules:
    raise RuntimeError("bayesjko was imported before its shapes could be checked.")
install_import_hook("bayesjko", "beartype.beartype")

from bayesjko.compilation import keep_compiled  # noqa: E402

keep_compiled()  # as the commands do: what one file has compiled, no other compiles again

# The same examples in every run; no deadline, since the first of them pays for a compilation.
settings.register_profile("house", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("house")


def pytest_collection_modifyitems(items):
    """JAX_PLATFORMS=cuda,cpu runs the tests on a GPU, where sums over particles are less exact."""
    if os.environ["JAX_PLATFORMS"] == "cpu":
        return
    for item in items:
        if item.get_closest_marker("processor"):
            item.add_marker(pytest.mark.skip(reason="asks for JAX_PLATFORMS=cpu"))
