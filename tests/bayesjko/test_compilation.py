"""What is compiled is kept by commands, where they are told, and by nothing else."""

import os
import subprocess
import sys

import jax
import pytest

from bayesjko import compilation
from bayesjko.compilation import keep_compiled

SCRIPT = """
import sys
import jax

before = dict(jax.config.values)
import bayesjko
from bayesjko.simulate.__main__ import main

assert dict(jax.config.values) == before
arguments = ["--potential", "quadratic", "--particles", "10", "--snapshots", "2", "--out"]
assert main([*arguments, sys.argv[1]]) == 0
heavy = {"arviz", "matplotlib", "numpyro", "optax", "optimistix", "ot", "scipy.stats", "sklearn"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def _simulate(folder, where):
    environment = {k: v for k, v in os.environ.items() if "COMPILATION_CACHE" not in k}
    environment["BAYESJKO_CACHE"] = where
    arguments = [sys.executable, "-c", SCRIPT, str(folder / "out.npz")]
    subprocess.run(arguments, check=True, env=environment)


def test_commands_keep_what_they_compile_and_the_import_changes_no_setting(tmp_path):
    _simulate(tmp_path, str(tmp_path / "kept"))
    assert list((tmp_path / "kept").glob("*-cache"))


def test_of_too_many_programs_the_older_ones_leave(monkeypatch, tmp_path):
    for number in range(10):
        path = tmp_path / f"{number}-cache"
        path.write_bytes(b"program")
        os.utime(path, (number, number))
    monkeypatch.setattr(compilation, "_MOST", 10)
    compilation._make_room(str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 10
    monkeypatch.setattr(compilation, "_MOST", 9)
    compilation._make_room(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}-cache" for n in range(5, 10)]


@pytest.mark.parametrize("word", ["off", "0", "None"])
def test_nothing_is_kept_where_that_is_told(monkeypatch, word):
    monkeypatch.setenv("BAYESJKO_CACHE", word)
    assert keep_compiled() is None


def test_a_folder_that_jax_knows_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("BAYESJKO_CACHE", str(tmp_path / "other"))
    known = jax.config.values["jax_compilation_cache_dir"]
    if known is None:
        pytest.skip("the tests run without kept programs")
    assert keep_compiled() == known
    assert not (tmp_path / "other").exists()
