"""`python examples/parsing` from anywhere, or `python -m examples.parsing` from the checkout's root."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # In place of this folder: the root, for the package `examples`, and with it both packages of this checkout.
    sys.path[:1] = [str(Path(__file__).resolve().parents[2] / folder) for folder in (".", "adapters")]
    from examples.common.program import start

    start("parsing")
