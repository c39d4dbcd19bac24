"""A picture small enough for a repository: `python docs/scripts/shrink.py FROM TO`."""

import sys
from pathlib import Path

from PIL import Image

WIDTH = 1100  # pixels at most
COLOURS = 200


def shrink(source: str | Path, target: str | Path) -> None:
    """Makes a picture no wider than a page and gives it a palette that keeps its rare colours."""
    picture = Image.open(source).convert("RGB")
    width = min(picture.width, WIDTH)
    small = picture.resize(
        (width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS
    )
    palette = small.quantize(
        COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE
    )
    palette.save(target, optimize=True)
    print(f"{target}: {Path(target).stat().st_size // 1000} kB")


if __name__ == "__main__":
    shrink(*sys.argv[1:])
