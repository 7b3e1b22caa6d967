"""Adapters and estimators as JSON, for files of Keras: names and arguments, and nothing that is run when it is read."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from imle_solvers.adapter import SolverAdapter
from imle_solvers.estimators import AIMLE, IMLE, Blackbox, Estimator, Identity, PerturbedOptimizer, StraightThrough
from imle_solvers.estimators.relative import Relative
from imle_solvers.estimators.target import HammingTarget, Target
from imle_solvers.noise.distributions import Gumbel, Normal, SumOfGamma
from imle_solvers.registry import load_factory, make_adapter

Description = dict[str, Any]
"""`{"name": ..., "kwargs": {...}}`."""

_KNOWN: dict[str, type] = {
    each.__name__: each
    for each in (
        *(AIMLE, IMLE, Blackbox, Identity, PerturbedOptimizer, StraightThrough),
        *(Target, HammingTarget, SumOfGamma, Gumbel, Normal),
    )
}
_ATTRIBUTES = {"noise_temperature": "input_noise_temperature", "initial_beta": "beta", "initial_norm": "norm"}
"""Attributes that are not called as their arguments are."""

_SERIALIZED = "keras"
_TUPLE, _ARRAY = "__tuple__", "__array__"


def adapter_of(description: Mapping[str, Any]) -> SolverAdapter:
    """The adapter that is described so, by arguments as `make_adapter` takes them.

    Raises:
        ValueError: another mapping, or no such name.
        AdapterError, TypeError: see `make_adapter`.
    """
    if not description.keys() <= {"name", "kwargs"} or not isinstance(description.get("name"), str):
        raise ValueError(
            'adapter: expected {"name": ..., "kwargs": {...}}, with a name of '
            f"imle_solvers.available_adapters(), got {dict(description)!r}"
        )
    return make_adapter(description["name"], **(description.get("kwargs") or {}))


def description_of(adapter: SolverAdapter) -> Description:
    """What `adapter_of` makes an equal adapter from.

    Raises:
        ValueError: that is not known; the message says what to do.
    """
    found = adapter.description()
    if found is not None:
        made_by = load_factory(found["name"])
        if getattr(made_by, "__self__", made_by) is type(adapter):
            return found
    raise ValueError(
        f"{adapter!r} cannot be saved or copied as it is, since it does not say how to make it again: register its "
        "class, or a function that makes it, by imle_solvers.register_adapter(name), and give "
        'Solver({"name": name, "kwargs": {...}}); weights alone can be saved in any case, by model.save_weights'
    )


def to_json(value: Any, where: str) -> Any:
    """A description as JSON has it, where tuples and arrays are dicts.

    Args:
        value: of it.
        where: what it is, for messages.

    Raises:
        ValueError: there is something in it that has no place in JSON.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key in (_TUPLE, _ARRAY):
                raise ValueError(f"{where}: expected names that are text, and not {_TUPLE} or {_ARRAY}, got {key!r}")
        return {key: to_json(each, f"{where}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        listed = [to_json(each, f"{where}[{index}]") for index, each in enumerate(value)]
        return {_TUPLE: listed} if isinstance(value, tuple) else listed
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {_ARRAY: value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{where}: expected numbers, text, lists, tuples and arrays of numbers, which can be saved, got {value!r}"
    )


def of_json(value: Any) -> Any:
    """What `to_json` was given."""
    if isinstance(value, Mapping):
        if value.keys() == {_TUPLE}:
            return tuple(of_json(value[_TUPLE]))
        if value.keys() == {_ARRAY, "dtype"}:
            return np.array(value[_ARRAY], np.dtype(value["dtype"]))
        return {key: of_json(each) for key, each in value.items()}
    return [of_json(each) for each in value] if isinstance(value, list | tuple) else value


def describe_estimator(estimator: Estimator) -> Description:
    """What `estimator_of` makes an equal estimator from, but for what it has adapted.

    Raises:
        ValueError: it, or a part of it, is not known; the message says what to do.
    """
    described: Description = _described(estimator, "estimator")
    return described


def estimator_of(description: Any) -> Estimator | None:
    """The estimator that is described so; None for None.

    Raises:
        ValueError: it has a name that is not known.
    """
    if isinstance(description, Estimator):
        return description
    made: Estimator | None = _made(description)
    return made


def _described(value: Any, where: str) -> Any:
    if isinstance(value, Relative):
        return {"name": "Relative", "kwargs": {"share": float(value)}}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = type(value)
    if _KNOWN.get(kind.__name__) is kind:
        given = {
            name: _described(_value_of(value, name), f"{where}.{name}")
            for name in inspect.signature(kind.__init__).parameters
            if name != "self"
        }
        return {"name": kind.__name__, "kwargs": given}
    named = value if inspect.isfunction(value) or inspect.isclass(value) else kind
    registered = keras.saving.get_registered_object(keras.saving.get_registered_name(named)) is not None
    if registered and (named is value or hasattr(kind, "from_config")):
        return {"name": _SERIALIZED, "kwargs": {"object": keras.saving.serialize_keras_object(value)}}
    raise ValueError(
        f"{where}: {value!r} cannot be saved as it is; decorate it with "
        "keras.saving.register_keras_serializable(), a class with methods, too: get_config, that gives its "
        "arguments, and from_config(cls, config), that makes another one of them; weights alone can be saved in any "
        "case, by model.save_weights"
    )


def _value_of(value: Any, name: str) -> Any:
    if isinstance(value, Blackbox):
        assert isinstance(value.target, Target)
        return value.target.beta
    found = getattr(value, _ATTRIBUTES.get(name, name) if isinstance(value, Estimator) else name)
    return found.item() if hasattr(found, "item") and not isinstance(found, float) else found


def _made(description: Any) -> Any:
    if not isinstance(description, Mapping):
        return description
    name, given = description.get("name"), description.get("kwargs", {})
    if name == _SERIALIZED:
        return keras.saving.deserialize_keras_object(given["object"])
    if name == "Relative":
        return Relative(given["share"])
    if name not in _KNOWN:
        raise ValueError(f"expected one of {', '.join(_KNOWN)}, got {name!r}, in {dict(description)!r}")
    return _KNOWN[name](**{argument: _made(value) for argument, value in given.items()})
