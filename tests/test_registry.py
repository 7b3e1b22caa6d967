"""Adapters by name."""

from __future__ import annotations

import functools
import sys
import textwrap

import pytest

from imle_adapters import TopKAdapter
from imle_solvers import available_adapters, make_adapter, register_adapter, registry
from tests.solvers import top_k


@pytest.fixture(autouse=True)
def _own_names(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


def test_register_and_make():
    register_adapter("choose")(top_k)
    assert "choose" in available_adapters()
    adapter = make_adapter("choose", n=4, k=1, sense="min")
    assert (adapter.instance_shape, adapter.sense) == ((4,), "min")


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("assignment", {"n_rows": 2, "n_cols": 3}),
        ("top_k", {"n": 3, "k": 1}),
        ("shortest_path_grid", {"height": 3, "width": 4}),
    ],
)
def test_the_packages_own_adapters_are_known(name, kwargs):
    assert make_adapter(name, **kwargs).instance_shape


def test_every_installed_name_loads():
    for name, point in registry._installed().items():
        assert callable(point.load()), name


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(ValueError, match="unknown adapter 'asignment'. Did you mean 'assignment'.*top_k"):
        make_adapter("asignment")
    with pytest.raises(ValueError, match=r"unknown adapter 'zzz'\. Known adapters"):
        make_adapter("zzz")


def test_a_name_is_taken_once():
    register_adapter("choose")(top_k)
    register_adapter("choose")(top_k)  # a notebook cell run again
    with pytest.raises(ValueError, match="'choose' is already registered"):
        register_adapter("choose")(lambda: top_k(3, 1))
    with pytest.raises(ValueError, match="'top_k' is already registered"):
        register_adapter("top_k")(top_k)


def test_a_partial_may_be_registered_again_but_not_another():
    for _ in range(2):
        register_adapter("choose")(functools.partial(TopKAdapter, 4, 2))
    assert make_adapter("choose").instance_shape == (4,)
    with pytest.raises(ValueError, match="'choose' is already registered"):
        register_adapter("choose")(functools.partial(TopKAdapter, 5, 2))


@pytest.mark.parametrize("name", ["", 3])
def test_a_name_is_a_text(name):
    with pytest.raises(ValueError, match="non-empty name"):
        register_adapter(name)


def test_installed_packages_register_by_entry_point(tmp_path, monkeypatch):
    info = tmp_path / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[imle_solvers.adapters]\nfrom_plugin = plugin_module:Plugin\n")
    (tmp_path / "plugin_module.py").write_text(
        textwrap.dedent(
            """
            from imle_solvers import SolverAdapter

            class Plugin(SolverAdapter):
                sense, instance_shape = "max", (7,)
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "from_plugin" in available_adapters()
    assert make_adapter("from_plugin").instance_shape == (7,)
    sys.modules.pop("plugin_module")
