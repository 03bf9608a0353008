"""The colours of sets of images, as they are and as JPEGs of two qualities: where photos end and drawings begin.

Run: python benchmarks/colours.py FOLDER...      a set each; quantiles at 128 pixels, then the medians at other sizes
"""

import functools
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from searchcnn.data.formats import PILLOW_FORMATS
from searchcnn.data.photos import count_colours
from searchcnn.data.preparation import Preparation, decode

IMAGES = 200
SIDE, SIDES = 128, (32, 64, 224)
QUALITIES = (None, 95, 75)


def read_images(folder: Path) -> list[Image.Image]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".png", ".jpg"))
    indices = np.linspace(0, len(files) - 1, min(len(files), IMAGES)).astype(int)
    return [decode(files[index].read_bytes()).image.convert("RGB") for index in indices]


def compress(quality: int | None, image: Image.Image) -> Image.Image:
    if quality is None:
        return image
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file, formats=PILLOW_FORMATS)


def measure_colours(of: list[Image.Image], side: int) -> list[float]:
    pixels = map(Preparation(side, side, 3).apply, of)
    return [count_colours(image[None]) for image in pixels]


def main(folders: list[Path]) -> None:
    print(f"{'set':20} {'saved':8} {'images':>6} {'5 %':>5} {'median':>6} {'95 %':>5}   median at {SIDES} pixels")
    for folder in folders:
        originals = read_images(folder)
        for quality in QUALITIES:
            copies = list(map(functools.partial(compress, quality), originals))
            low, median, high = np.percentile(measure_colours(copies, SIDE), (5, 50, 95))
            others = "  ".join(f"{np.median(measure_colours(copies, side)):4.0f}" for side in SIDES)
            how = f"JPEG {quality}" if quality else "as is"
            print(
                f"{folder.name:20} {how:8} {len(originals):6} {low:5.0f} {median:6.0f} {high:5.0f}   {others}",
                flush=True,
            )


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
