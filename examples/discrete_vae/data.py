"""Images to encode: digits that are embedded here, or those of IDX files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.discrete_vae.idx import read_idx

DIGITS = Path(__file__).with_name("digits-idx3-ubyte.gz")
"""1797 handwritten digits of 8 x 8 pixels from 0 to 16, in the order in which scikit-learn has them.

They are the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning
Repository, 1998, doi 10.24432/C50P49), under the licence CC BY 4.0.
"""

HELD_OUT = 360
"""How many digits, the last ones, are for testing."""

DATA = {"digits": "handwritten digits of 8 x 8 pixels", "mnist": "MNIST", "fashion": "Fashion-MNIST"}
"""What `--data` knows, and what it is called."""

SPLITS = ("train", "t10k")
_NAMES = ("{split}-images-idx3-ubyte", "{split}-images.idx3-ubyte")


@dataclass(frozen=True)
class Images:
    """Images to train on and to test on.

    Attributes:
        train, test: (N, pixels) uint8.
        shape: height and width.
        white: the largest value that a pixel can have.
    """

    train: Tensor
    test: Tensor
    shape: tuple[int, int]
    white: int

    def batch(self, images: Tensor, device: str) -> Tensor:
        """Pixels as shares of white, (B, pixels) float32: the probability that a pixel is white, as was published."""
        return images.to(device, torch.float32) / self.white


def load(folder: Path | None, train: int | None = None, test: int | None = None, *, fewer: bool = False) -> Images:
    """The digits, or the images of the IDX files in a folder: all, or the first so many; `fewer` if there are no more.

    Raises:
        FileNotFoundError: a file is missing; says which were expected and which are there.
        OSError, ValueError: a file cannot be read, or is not what it should be; or there are fewer images.
    """
    if folder is None:
        digits = read_idx(DIGITS)
        splits, white = {"train": digits[:-HELD_OUT], "t10k": digits[-HELD_OUT:]}, 16
    else:
        files = {split: find(folder, split) for split in SPLITS}
        splits, white = {split: read_idx(file) for split, file in files.items()}, 255
        shapes = {files[split].name: images.shape[1:] for split, images in splits.items()}
        if len(set(shapes.values())) > 1:
            told = ", ".join(f"{height} x {width} in {name}" for name, (height, width) in shapes.items())
            raise ValueError(f"{folder}: expected images of one size, got {told}")
    height, width = splits["train"].shape[1:]
    return Images(
        _first(splits["train"], train, None if fewer else "--train-images"),
        _first(splits["t10k"], test, None if fewer else "--test-images"),
        (height, width),
        white,
    )


def find(folder: Path, split: str) -> Path:
    """The file of a split's images, under one of the names by which it goes.

    Raises:
        FileNotFoundError: there is none.
    """
    names = [name.format(split=split) for name in _NAMES]
    for name in names:
        for file in (folder / name, folder / f"{name}.gz"):
            if file.is_file():
                return file
    found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing" if folder.is_dir() else "no folder"
    raise FileNotFoundError(f"expected {names[0]} or {names[1]}, or one of them with .gz, in {folder}; found {found}")


def _first(images: NDArray[np.uint8], count: int | None, option: str | None) -> Tensor:
    if option and count is not None and count > len(images):
        raise ValueError(f"{option}: expected at most {len(images)}, as there are no more images, got {count}")
    return torch.from_numpy(images[:count].reshape(-1, images[0].size).copy())
