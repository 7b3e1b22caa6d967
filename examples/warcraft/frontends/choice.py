"""Which front end, and what is not to be had with another than PyTorch's."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util

from examples.common.methods import METHODS
from examples.common.options import Parser

FRONTENDS = ("torch", "jax", "keras")

MODULES = {"jax": {"jax": "JAX", "equinox": "Equinox", "optax": "Optax"}, "keras": {"keras": "Keras"}}
"""What each needs, by modules' names."""

EXTRAS = {"jax": "examples-jax", "keras": "keras"}

_LOSSES = ("score", "fenchel-young")  # of PyTorch's tensors here, with samples of their own
TRAINED = tuple(method for method in METHODS if method not in _LOSSES)
"""The methods of JAX and Keras: the estimators."""

_SEEDS = 2**31  # of Keras's layer, and of JAX's keys


def check(parser: Parser, options: argparse.Namespace) -> None:
    """Exits with an error of one line where the front end is not there, or an option is not to be had with it.

    Keras's backend becomes an option, `options.backend`, so that results have it.
    """
    if options.frontend == "torch":
        return
    given = f"--frontend {options.frontend}"
    if unknown := [method for method in options.methods if method not in TRAINED]:
        parser.error(f"--method {unknown[0]}: not with {given}, which has {','.join(TRAINED)}")
    for option, there in (
        ("--resume", options.resume),
        ("--ray", options.ray),
        ("--device", options.device != "cpu"),
    ):
        if there:
            parser.error(f"{option}: only with --frontend torch, not with {given}")
    if options.seed + options.seeds > _SEEDS:
        parser.error(f"--seed: expected seeds below 2**31 with {given}, got {options.seed + options.seeds - 1}")
    needs = MODULES[options.frontend]
    missing = [called for module, called in needs.items() if importlib.util.find_spec(module) is None]
    if missing:
        parser.error(
            f"{given} needs {', '.join(missing)}: make warcraft-{options.frontend}, or "
            f'pip install "imle-solvers[{EXTRAS[options.frontend]}]"'
        )
    if options.frontend == "keras":
        try:
            from examples.warcraft.frontends.keras_network import backend
        except (ImportError, ValueError) as error:  # its backend is not there, or there is no such backend
            parser.error(f"{given}: {error}; KERAS_BACKEND names one of torch, jax, tensorflow that is installed")
        options.backend = backend()


def versions(options: argparse.Namespace) -> dict[str, str]:
    """Of what the front end needs, by modules' names."""
    return {module: importlib.metadata.version(module) for module in MODULES.get(options.frontend, ())}


def front_end(options: argparse.Namespace) -> str:
    """The front end in titles; PyTorch's has none."""
    backends = {"torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow"}
    if options.frontend == "keras":
        return f"Keras on {backends.get(options.backend, options.backend)}"
    return "" if options.frontend == "torch" else "JAX"
