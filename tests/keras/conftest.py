"""What tests of the Keras front end share: those that each backend has to pass run in a process for each."""

from __future__ import annotations

import os

# Keras takes its backend once a process; `test_backends.py` runs these with each.
collect_ignore = [] if os.environ.get("IMLE_KERAS_TESTS") else ["on_each"]
