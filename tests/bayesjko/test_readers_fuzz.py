"""Damaged files of every format: read, or refused with one sentence; nothing else, no warning."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.readers import WRITERS, read_snapshots, write_snapshots

MUTANTS = 120
ENDINGS = (*WRITERS, ".tsv", ".csv.gz", ".npy", ".h5ad")


def write(path: Path) -> Path:
    """A sound file of the path's ending."""
    rng = np.random.default_rng(0)
    clouds = tuple(rng.normal(size=(n, 2)) for n in (20, 15, 25))
    x, t = np.concatenate(clouds), np.repeat([0.0, 1.0, 2.5], [20, 15, 25])
    if path.suffix in WRITERS:
        weights = tuple(rng.random(len(cloud)) for cloud in clouds)
        write_snapshots(Snapshots(np.unique(t), clouds, weights, truth={"beta": 0.1}), path)
    elif path.suffix == ".npy":
        np.save(path, rng.normal(size=(3, 10, 2)))
    elif path.suffix == ".h5ad":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            anndata = pytest.importorskip("anndata")
            obs = pd.DataFrame(
                {"day": [f"day {time}" for time in t]}, index=np.arange(60).astype(str)
            )
            anndata.AnnData(obs=obs, obsm={"X_pca": x}).write_h5ad(path)
    else:
        frame = pd.DataFrame({"day": [f"day {time}" for time in t], "x1": x[:, 0], "x2": x[:, 1]})
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """The file cut short, with bits flipped, a stretch overwritten, cut out, or moved."""
    damaged = bytearray(content)
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 64))
    kind = rng.integers(5)
    if kind == 0:
        return content[:start]
    if kind == 1:
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        stretch = len(damaged[start : start + length])
        damaged[start : start + length] = rng.bytes(stretch)
    elif kind == 3:
        del damaged[start : start + length]
    else:
        damaged[:length], damaged[start : start + length] = (
            damaged[start : start + length],
            damaged[:length],
        )
    return bytes(damaged)


def survives(path: Path, **options: str) -> bool:
    """Whether it was read; raises on anything but `SnapshotError`."""
    try:
        read = read_snapshots(path, **options)
    except SnapshotError as error:
        message = str(error)
        assert "\n" not in message
        assert message.endswith(".")
        return False
    assert all(np.isfinite(cloud).all() for cloud in read.particles)
    assert all(np.isfinite(weight).all() for weight in read.weights)
    return True


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_files(ending, tmp_path):
    sound = write(tmp_path / f"sound{ending}")
    assert survives(sound)
    path = tmp_path / f"damaged{ending}"
    read = 0
    for seed in range(MUTANTS if ending != ".zarr" else MUTANTS // 2):
        rng = np.random.default_rng(seed)
        target = path
        if sound.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(sound, path)
            files = sorted(file for file in path.rglob("*") if file.is_file())
            target = files[rng.integers(len(files))]
            target.write_bytes(mutate(target.read_bytes(), rng))
        else:
            path.write_bytes(mutate(sound.read_bytes(), rng))
        read += survives(path)
    assert read < MUTANTS  # else nothing was damaged


@pytest.mark.parametrize("ending", [".zarr"])
def test_stores_with_a_file_missing(ending, tmp_path):
    sound = write(tmp_path / f"sound{ending}")
    files = [file.relative_to(sound) for file in sound.rglob("*") if file.is_file()]
    for file in files:
        path = tmp_path / f"damaged{ending}"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(sound, path)
        (path / file).unlink()
        survives(path)


CELL = st.sampled_from(
    ["", "0", "1", "2.5", "-1", "1e400", "nan", "inf", "NA", "day 1", "Day 2", "x", '"', "1,5", "é"]
)
NAME = st.sampled_from(["t", "time", "x1", "x2", "w", "weight", "", " x1", "0", "x*", "é", '"a,b"'])


@given(
    names=st.lists(NAME, min_size=1, max_size=5),
    rows=st.lists(st.lists(CELL, max_size=6), max_size=12),
    mark=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n", "\r", ""]),
    options=st.fixed_dictionaries({}, optional={"time": NAME, "features": NAME, "weight": NAME}),
)
def test_any_table_in_text(tmp_path_factory, names, rows, mark, end, options):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(
        end.join(mark.join(row) for row in [names, *rows]), encoding="utf-8", newline=""
    )
    survives(path, **options)


@given(
    content=st.binary(max_size=200), ending=st.sampled_from([e for e in ENDINGS if e != ".zarr"])
)
def test_any_bytes(tmp_path_factory, content, ending):
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    path.write_bytes(content)
    assert not survives(path)


HEADS = st.permutations(["t", "x1", "x2", "w"]).flatmap(
    lambda names: st.integers(1, 4).map(lambda count: names[:count])
)


@given(heads=HEADS, seed=st.integers(0, 10), repeat=st.booleans())
def test_swapped_dropped_and_repeated_columns(tmp_path_factory, heads, seed, repeat):
    rng = np.random.default_rng(seed)
    table = np.c_[np.repeat([0, 1], 6), rng.normal(size=(12, 2)), rng.random(12)]
    frame = pd.DataFrame(table[:, : len(heads)], columns=heads)
    folder = tmp_path_factory.getbasetemp()
    frame.to_parquet(folder / "columns.parquet")
    survives(folder / "columns.parquet")
    np.savez(folder / "columns.npz", **{name: frame[name].to_numpy() for name in heads})
    survives(folder / "columns.npz")
    if repeat:
        frame.columns = [heads[0], *heads[:-1]]
    frame.to_csv(folder / "columns.csv", index=False)
    assert survives(folder / "columns.csv") <= (not repeat or len(heads) == 1)
