"""Blocks come back to the bit, in order, and only to the run that made them."""

import json

import numpy as np
import pytest

from bayesjko import checkpoint as module
from bayesjko.checkpoint import Checkpoint
from bayesjko.models.errors import InputError

RUN = {"settings": {"draws": 200, "noise": 0.1, "scale": None}, "data_hash": "abc", "shape": (2, 3)}


def block(index):
    rng = np.random.default_rng(index)
    return {"draws": rng.normal(size=(3, 2)), "key": rng.integers(2**32, size=2, dtype=np.uint32)}


@pytest.fixture
def result(tmp_path):
    return tmp_path / "result.nc"


def begun(result, count=2):
    checkpoint = Checkpoint(result)
    assert checkpoint.load(RUN) == []
    for index in range(count):
        checkpoint.append(block(index))
    return checkpoint


def test_a_run_goes_on_where_it_was_left(result):
    begun(result)
    again = Checkpoint(result, resume=True)
    found = again.load(RUN)
    again.append(block(2))
    found += Checkpoint(result, resume=True).load(RUN)[2:]
    assert len(found) == 3
    for index, one in enumerate(found):
        assert one.keys() == block(index).keys()
        for name, array in block(index).items():
            assert one[name].dtype == array.dtype
            np.testing.assert_array_equal(one[name], array)


def test_nothing_is_on_disk_before_the_first_block_nor_after_the_result(result):
    checkpoint = begun(result, count=0)
    assert list(result.parent.iterdir()) == []
    checkpoint.append(block(0))
    assert [path.name for path in result.parent.iterdir()] == ["result.nc.checkpoint"]
    checkpoint.discard()
    assert list(result.parent.iterdir()) == []


def test_resuming_what_was_never_begun_is_beginning(result):
    assert Checkpoint(result, resume=True).load(RUN) == []


def test_work_that_is_there_is_not_passed_over(result):
    begun(result)
    with pytest.raises(InputError, match="--resume"):
        Checkpoint(result)


def test_a_run_that_never_asked_for_the_blocks_leaves_them(result):
    begun(result)
    Checkpoint(result, resume=True).discard()
    assert len(Checkpoint(result, resume=True).load(RUN)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data_hash": "abd"}, "data hash is abc and this one's abd"),
        ({"settings": {"draws": 400, "noise": 0.1, "scale": None}}, "draws is 200"),
        ({"settings": {"draws": 200, "noise": 0.1}, "more": 1}, "more is None"),
    ],
)
def test_blocks_of_another_run_are_refused(result, change, said):
    begun(result)
    with pytest.raises(InputError, match=said):
        Checkpoint(result, resume=True).load(RUN | change)
    assert len(Checkpoint(result, resume=True).load(RUN)) == 2


def test_a_folder_of_something_else_is_left_alone(result):
    folder = result.with_name("result.nc.checkpoint")
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    for meta in ("", "[]", json.dumps({"format": 99, "fingerprint": RUN})):
        (folder / "meta.json").write_text(meta)
        with pytest.raises(InputError, match="no checkpoint of this version"):
            Checkpoint(result, resume=True).load(RUN)
    assert (folder / "mine.txt").exists()


def test_a_block_cut_short_is_told(result):
    path = begun(result).folder / "000001.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"Cannot read .*000001\.npz"):
        Checkpoint(result, resume=True).load(RUN)


def test_a_write_that_failed_leaves_the_former_blocks(result, monkeypatch):
    checkpoint = begun(result)

    def fail(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.append(block(2))
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == [
        "000000.npz",
        "000001.npz",
        "meta.json",
    ]


def test_two_runs_at_once_are_noticed(result):
    first = begun(result, count=1)
    second = Checkpoint(result, resume=True)
    second.load(RUN)
    first.append(block(1))
    with pytest.raises(InputError, match="Another run"):
        second.append(block(1))


def test_objects_are_not_pickled(result):
    checkpoint = begun(result, count=0)
    with pytest.raises(TypeError, match="pickle"):
        checkpoint.append({"draws": np.array([None])})


def test_of_several_processes_the_first_writes_and_all_must_find_the_same(result, monkeypatch):
    monkeypatch.setattr(module, "first_process", lambda: False)
    other = Checkpoint(result)
    assert other.load(RUN) == []
    other.append(block(0))
    assert not other.folder.exists()
    monkeypatch.undo()
    first = Checkpoint(result)
    first.load(RUN)
    first.append(block(0))
    monkeypatch.setattr(module, "first_process", lambda: False)
    other.discard()
    assert first.folder.exists()
    monkeypatch.setattr(module, "same_everywhere", lambda count: count == 0)
    with pytest.raises(InputError, match="find different blocks"):
        Checkpoint(result, resume=True).load(RUN)
