"""Progress bars."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


def progress_bar(description: str, total: int) -> tqdm[Any]:
    """A progress bar."""
    return tqdm(
        total=total,
        desc=description,
        dynamic_ncols=True,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
    )
