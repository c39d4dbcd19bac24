"""What experiments found, copied to where the documentation shows it.

make collect

Takes of every folder that `python -m bayesjko.experiments run NAME` has left under results/ (or of
those that are named) the tables, the page that says how they came about, and the pictures, made
small. Runs of --smoke are left alone.
"""

import shutil
import sys
from pathlib import Path

from shrink import shrink

ROOT = Path(__file__).resolve().parents[2]


def collect(source: Path, target: Path) -> None:
    """One experiment's tables, page and pictures; what was there before is replaced."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in (*sorted(source.glob("*.csv")), source / "README.md"):
        shutil.copy(path, target / path.name)
    for path in sorted((source / "figures").glob("*.png")):
        shrink(path, target / path.name)


def main(names: list[str]) -> None:
    """Collects the experiments of these names; all that are finished if there are none."""
    found = sorted(path.parent.name for path in (ROOT / "results").glob("*/metrics.csv"))
    for name in names or [name for name in found if not name.endswith("-smoke")]:
        collect(ROOT / "results" / name, ROOT / "docs" / "results" / name)
        print(f"docs/results/{name}")


if __name__ == "__main__":
    main(sys.argv[1:])
