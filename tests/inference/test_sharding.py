"""Items over devices; how they share them is tested where there are several (test_devices)."""

import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.inference.sharding import first_process, over_devices, same_everywhere


@pytest.mark.parametrize("count", [1, 5])
def test_each_item_has_its_own_result(count):
    traced = []

    @over_devices
    def work(items, matrix, sign, power):
        traced.append(sign)
        if sign == "minus":
            matrix = -matrix
        return {"moved": (items["x"] @ matrix) ** power, "key": items["key"]}

    items = {
        "x": np.arange(2.0 * count).reshape(count, 2),
        "key": np.arange(count, dtype=np.uint32),
    }
    for scale in (1.0, 3.0):
        matrix = scale * np.eye(2)
        found = work(items, jnp.asarray(matrix), "minus", np.asarray(2))
        np.testing.assert_allclose(found["moved"], (items["x"] @ -matrix) ** 2)
        np.testing.assert_array_equal(found["key"], items["key"])
        assert all(isinstance(values, np.ndarray) for values in found.values())
    assert traced == ["minus"]  # numbers are not compiled for, what is no array is
    work(items, matrix, "plus", np.asarray(2))
    assert traced == ["minus", "plus"]


def test_a_process_alone_is_the_first_and_agrees_with_itself():
    assert first_process()
    assert same_everywhere(3)
