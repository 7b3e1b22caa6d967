"""Pictures, written to the folder of results."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure


def save_picture(figure: Figure, folder: Path, name: str) -> None:
    """Writes a picture and says where."""
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")
