"""Pictures, written to the folder of results."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image  # which matplotlib needs, too


def save_picture(figure: Figure, folder: Path, name: str) -> None:
    """Writes a picture and says where. It has 256 colours, for less than half the bytes."""
    path = folder / f"{name}.png"
    drawn = BytesIO()
    figure.savefig(drawn, dpi=120)
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"picture: {path}")
