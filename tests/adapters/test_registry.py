"""Adapters by name."""

from __future__ import annotations

import functools
import sys
import textwrap

import pytest

from imle_adapters import TopKAdapter
from imle_solvers import AdapterError, SolverAdapter, available_adapters, make_adapter, register_adapter, registry
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
    for name, points in registry._installed().items():
        assert callable(registry._load(name, points)), name


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(ValueError, match="unknown adapter 'asignment'. Did you mean 'assignment'.*top_k"):
        make_adapter("asignment")
    with pytest.raises(ValueError, match=r"unknown adapter 'zzz'\. Known adapters: .*\. Import what registers"):
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


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package with a module of this text, which registers adapters."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []

    def install(package, text, **names):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {package}_module:{what}" for name, what in names.items()]
        (info / "entry_points.txt").write_text("\n".join(["[imle_solvers.adapters]", *lines]))
        (tmp_path / f"{package}_module.py").write_text(textwrap.dedent(text))
        modules.append(f"{package}_module")

    yield install
    for module in modules:
        sys.modules.pop(module, None)


PLUGIN = """
    from imle_solvers import SolverAdapter

    class Plugin(SolverAdapter):
        sense, instance_shape = "max", (7,)

        def solve(self, state, theta):
            return theta
"""


def test_installed_packages_register_by_entry_point(install):
    install("plugin", PLUGIN, from_plugin="Plugin")
    assert "from_plugin" in available_adapters()
    assert make_adapter("from_plugin").instance_shape == (7,)
    with pytest.raises(ValueError, match="'from_plugin' is already registered by the package plugin 1.0"):
        register_adapter("from_plugin")(top_k)


def test_a_name_that_two_packages_register_is_nobodys(install):
    install("plugin", PLUGIN, top_k="Plugin", other="Plugin")
    assert available_adapters().count("top_k") == 1
    expected = (
        "several packages register an adapter called 'top_k': .*the package "
        r"(imle-solvers \S+ .as imle_adapters.selection.top_k:TopKAdapter.|plugin 1.0 .as plugin_module:Plugin.)"
        " and the package (imle-solvers|plugin)"
    )
    with pytest.raises(ValueError, match=expected):
        make_adapter("top_k", n=4, k=1)
    with pytest.raises(ValueError, match="'top_k' is already registered by the package .* and the package"):
        register_adapter("top_k")(top_k)
    assert make_adapter("other").instance_shape == (7,)
    assert make_adapter("assignment", n_rows=2, n_cols=2).instance_shape == (2, 2)


@pytest.mark.parametrize(
    ("text", "cause", "message"),
    [
        (
            "import no_such_module",
            ModuleNotFoundError,
            "cannot be loaded: ModuleNotFoundError: No module named 'no_such",
        ),
        ("1 / 0", ZeroDivisionError, "cannot be loaded: ZeroDivisionError"),
        ("", AttributeError, "cannot be loaded: AttributeError: module 'plugin_module' has no attribute 'Plugin'"),
        ("Plugin = 3", type(None), "is no class or function, but 3"),
    ],
)
def test_a_broken_package_is_named(install, text, cause, message):
    install("plugin", text, from_plugin="Plugin")
    whose = "the adapter 'from_plugin', which the package plugin 1.0 registers as plugin_module:Plugin, "
    with pytest.raises(AdapterError, match=whose + message) as info:
        make_adapter("from_plugin")
    assert type(info.value.__cause__) is cause
    assert "from_plugin" in available_adapters()
    assert make_adapter("assignment", n_rows=2, n_cols=2)


def test_what_is_made_is_an_adapter():
    register_adapter("nothing")(lambda: None)
    with pytest.raises(TypeError, match="what is registered as 'nothing'.*made no SolverAdapter, but None"):
        make_adapter("nothing")

    @register_adapter("unsound")
    class Unsound(SolverAdapter):
        sense, instance_shape = "max", "3"

    with pytest.raises(TypeError, match="Unsound.instance_shape must be a tuple of ints"):
        make_adapter("unsound")
