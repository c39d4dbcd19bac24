"""What experiments found, copied to where the documentation shows it.

make collect

Takes of every folder that `python -m bayesjko.experiments run NAME` has left under results/ (or of
those that are named) the tables, the page that says how they came about, and the pictures, made
small. Runs of --smoke are left alone. NAME:PART is a run of some more cells of what is shown
already, to be shown below it.
"""

import shutil
import sys
from pathlib import Path

from shrink import shrink

ROOT = Path(__file__).resolve().parents[2]


def collect(source: Path, target: Path) -> None:
    """One experiment's tables, page and pictures; what was there before is replaced."""
    target.mkdir(parents=True, exist_ok=True)
    for path in target.glob("*.*"):
        path.unlink()
    for path in (*sorted(source.glob("*.csv")), source / "README.md"):
        shutil.copy(path, target / path.name)
    for path in sorted((source / "figures").glob("*.png")):
        shrink(path, target / path.name)


def main(names: list[str]) -> None:
    """Collects the experiments of these names; all that are finished if there are none."""
    found = sorted(path.parent.name for path in (ROOT / "results").glob("*/metrics.csv"))
    for name in names or [name for name in found if not name.endswith("-smoke")]:
        own, _, part = name.partition(":")
        target = ROOT / "docs" / "results" / own / part
        collect(ROOT / "results" / own, target)
        print(target.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
