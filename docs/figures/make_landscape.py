"""The README's picture: the demo's landscape, small enough for a repository.

make readme
"""

import sys
from pathlib import Path

from PIL import Image

WIDTH = 1100  # pixels
COLOURS = 200


def main(source: str, target: str) -> None:
    """Shrinks a picture and gives it a palette that keeps its rare colours too."""
    picture = Image.open(source).convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    small = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    palette = small.quantize(
        COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE
    )
    palette.save(target, optimize=True)
    print(f"{target}: {Path(target).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
