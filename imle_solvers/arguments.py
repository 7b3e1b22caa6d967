"""Checks of arguments, and what is said of one that a class does not take: mostly, where it belongs instead."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Class = TypeVar("Class", bound=type)


class _Place(NamedTuple):
    """Where something is set that goes by many names.

    Attributes:
        names: what people write.
        arguments: what to write instead, the first of which the class has the argument for.
        elsewhere: who takes it, for classes that have none of them.
    """

    names: str
    arguments: tuple[str, ...]
    elsewhere: str


_PLACES = (
    _Place(
        "beta lam lambda_ lambd lmbda",
        ("beta={0!r}", "lam={0!r}", "initial_beta={0!r}", "target=Target(beta={0!r})"),
        "IMLE(target=Target(beta={0!r}))",
    ),
    _Place("alpha", ("alpha={0!r}", "target=Target(alpha={0!r})"), "IMLE(target=Target(alpha={0!r}))"),
    _Place("theta_noise_temperature", ("input_noise_temperature={0!r}",), "IMLE(input_noise_temperature={0!r})"),
    _Place(
        "temperature noise_temperature input_noise_temperature target_noise_temperature tau sigma scale epsilon",
        (
            "noise_temperature={0!r}",
            "sigma={0!r}",
            "input_noise_temperature={0!r}, target_noise_temperature={0!r}",
        ),
        "IMLE(input_noise_temperature={0!r}, target_noise_temperature={0!r})",
    ),
    _Place("k kappa", ("k={0!r}", "noise=SumOfGamma(k={0!r})"), "IMLE(noise=SumOfGamma(k={0!r}))"),
    _Place(
        "terms nb_iterations", ("terms={0!r}", "noise=SumOfGamma(terms={0!r})"), "IMLE(noise=SumOfGamma(terms={0!r}))"
    ),
    _Place("noise noise_distribution", ("noise={0!r}",), "IMLE(noise={0!r})"),
    _Place("target target_distribution", ("target={0!r}",), "IMLE(target={0!r})"),
    _Place("symmetric symmetric_perturbation", ("symmetric={0!r}",), "AIMLE(symmetric={0!r})"),
    _Place(
        "num_marginal_samples nb_marginal_samples",
        ("num_marginal_samples={0!r}",),
        "IMLE(num_marginal_samples={0!r})",
    ),
    _Place(
        "num_samples nb_samples n_samples samples", ("num_samples={0!r}",), "SolverLayer(adapter, num_samples={0!r})"
    ),
    _Place(
        "seed rng",
        ("generator=torch.Generator().manual_seed({0!r})",),
        "SolverLayer(adapter, generator=torch.Generator().manual_seed({0!r}))",
    ),
    _Place("workers n_workers n_jobs max_workers processes", ("num_workers={0!r}",), "ProcessExecutor({0!r})"),
    _Place(
        "timeout time_limit",
        ("timeout={0!r}", "time_limit={0!r}", "executor=ProcessExecutor(timeout={0!r})"),
        "ProcessExecutor(timeout={0!r})",
    ),
    _Place(
        "sense minimize minimise maximize maximise is_minimization _is_minimization",
        ('sense="min" for costs, sense="max" for scores',),
        'FunctionAdapter(fn, sense="min", ...)',
    ),
)


def explain_arguments(**advice: str) -> Callable[[Class], Class]:
    """Has a class say where an argument belongs that it does not take. A decorator.

    Args:
        **advice: what to say of arguments that others do not have under these names.
    """

    def explain(cls: Class) -> Class:
        made: Any = cls.__init__  # type: ignore[misc]
        parameters = list(inspect.signature(made).parameters.values())[1:]
        takes = [parameter.name for parameter in parameters]
        named = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        most = len(takes) - len(named)

        @functools.wraps(made)
        def init(self: Any, /, *arguments: Any, **options: Any) -> None:
            if named and len(arguments) > most:
                raise TypeError(
                    f"{cls.__name__}: expected no more than {most} argument{'s' * (most != 1)} without a name "
                    f"({', '.join(takes[:most])}), got {len(arguments)}; name the others: {'=, '.join(named)}="
                )
            for name, value in options.items():
                if name not in takes:
                    what = advice.get(name) or _advice(name, value, takes)
                    raise TypeError(f"{cls.__name__}: unexpected argument {name}={value!r}; {what}")
            made(self, *arguments, **options)

        cls.__init__ = init  # type: ignore[misc]
        return cls

    return explain


def _advice(name: str, value: Any, takes: list[str]) -> str:
    for place in _PLACES:
        if name in place.names.split():
            for argument in place.arguments:
                if argument.split("=")[0] in takes:
                    return f"write {argument.format(value)}"
            elsewhere = place.elsewhere.format(value)
            of_estimator = "estimator" in takes and elsewhere.startswith(("IMLE", "AIMLE"))
            return f"write estimator={elsewhere}" if of_estimator else f"{elsewhere} takes it"
    close = difflib.get_close_matches(name, takes, n=1)
    meant = f"did you mean {close[0]}? It" if close else "it"
    return f"{meant} takes {', '.join(takes) or 'no arguments'}"


def is_finite(value: Any) -> bool:
    """Whether a value is a number, and neither infinite nor NaN."""
    try:
        return math.isfinite(value)
    except (TypeError, ValueError):
        return False


def check_count(owner: str, name: str, value: Any, least: int = 1) -> None:
    """Raises unless an argument is a whole number.

    Raises:
        TypeError: it is not an int.
        ValueError: it is below the least.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}{name} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{owner}{name} must be at least {least}, got {value}")
