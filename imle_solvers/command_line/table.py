"""Lines of two columns, as wide as the terminal."""

from __future__ import annotations

import shutil
import textwrap


def show(label: str, text: str, width: int = 16) -> None:
    """Prints a label, and a text beside it, at once.

    Args:
        label: of the first column.
        text: of the second one, wrapped between words.
        width: of the first column.
    """
    columns = max(width + 20, min(shutil.get_terminal_size().columns, 120))
    wrapped = textwrap.fill(
        text,
        columns,
        initial_indent=f"{label:{width}}",
        subsequent_indent=" " * width,
        break_long_words=False,
        break_on_hyphens=False,
    )
    print(wrapped, flush=True)


def one_line(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
