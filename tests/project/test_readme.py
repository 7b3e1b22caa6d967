"""What README and the docs say runs, and is there."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
HAS_JAX = importlib.util.find_spec("jax") is not None
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

MPS = """NAME plan
ROWS
 N cost
 G demand
COLUMNS
 M1 'MARKER' 'INTORG'
 x cost 2 demand 1
 y cost 3 demand 2
 M2 'MARKER' 'INTEND'
RHS
 RHS demand 3
BOUNDS
 UP BND x 4
 UP BND y 4
ENDATA
"""


CHECKS = {
    "README.md": {
        "network = ": "assert paths.shape == (16, 12, 12) and set(paths.unique().tolist()) == {0.0, 1.0}\n"
        "assert network.weight.grad.abs().sum() > 0",
    },
    "programs.md": {
        "ILPSpec(shape=(4,)": "assert z.shape == theta.grad.shape == (8, 4) and set(z.unique().tolist()) <= {0.0, 1.0}",
        "from_mathopt(": "assert plan.sense == 'min' and plan.shape == (2,) and plan.integrality.all()\n"
        "assert ((z * torch.tensor([2.0, 3, 1, 4])).sum(-1) <= 5).all() and z.sum() > 0",
    },
    "data.md": {
        "b_ub=capacities": "assert ((z * torch.tensor([2.0, 3, 1, 4])).sum(-1) <= capacities[:, 0]).all()",
        "softplus(": "assert paths.shape == (8, 24)",
        "from_edges(": "assert theta.tolist() == [1.0, 1.0, 3.0] and same.edges == adapter.edges == arcs\n"
        "assert route == [('a', 'b'), ('b', 'c')]",
        "mask=mask": "assert (best.sum(-1) == 2).all() and (best[~mask] == 0).all()",
    },
    "own_solvers.md": {"is_binary = True": "assert adapter.is_binary is True"},
    "estimators.md": {"ShortestPathAdapter.grid(": "assert paths.shape == (70, 4, 12, 12)"},
    "jax.md": {
        "jnp.zeros((16, 12, 12))": "assert labels.shape == (16, 12, 12) and float(jnp.abs(weights).sum()) > 0",
        "jax.make_mesh": "assert gradient.shape == (16, 12, 12) and bool((gradient != 0).any())",
        "adaptive.init": "assert float(state['beta'].sum()) != 2.0",
    },
    "keras.md": {
        "model.fit(": "assert paths.shape == (64, 12, 12) and set(np.unique(paths).tolist()) == {0.0, 1.0}",
        "predictor.fit(": "assert predictor.output_shape == (None, 12, 12)",
        "Solver.from_config": "assert repr(again.adapter) == repr(best.adapter)",
    },
    "migration.md": {"torch_solver": "assert z.shape == (3, 10, 10)"},
}
"""What must hold after a block, by its page and a text that this block alone has."""


def program_of(page):
    """The code blocks of a page with their checks; lines have the numbers that they have in the page."""
    program, block = [], None
    checks = dict(CHECKS.get(page.name, {}))
    for line in page.read_text().splitlines():
        if block is None:
            block = [] if line == "```python" else None
            program.append("")
        elif line == "```":
            here = [text for text in checks if text in "\n".join(block)]
            program.append("; ".join(checks.pop(text).replace("\n", "; ") for text in here))
            block = None
        else:
            block.append(line)
            program.append(line)
    assert not checks, f"{page.name}: no block has {list(checks)}"
    return "\n".join(program)


def test_the_code_blocks_run(tmp_path):
    """Those of a page in order, all pages in one process: to start one, and compile there, is what takes the time."""
    (tmp_path / "plan.mps").write_text(MPS)
    pages = [page for page in PAGES if HAS_JAX or page.name != "jax.md"]
    pages = [page for page in pages if page.name != "keras.md"]  # on each backend: tests/keras/on_each/test_page.py
    runs = [f"exec(compile({program_of(page)!r}, {page.name!r}, 'exec'), {{'__name__': '__main__'}})" for page in pages]
    run = subprocess.run(
        [sys.executable, "-"],
        input="\n".join(runs),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    # A busy machine that compiles kernels for the first time may say that nothing was done for so long.
    said = [line for line in run.stderr.splitlines() if "for ten seconds" not in line]
    assert (run.returncode, run.stdout, said) == (0, "", [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, heading = target.partition("#")
        if "://" in path:
            continue
        linked = page.parent / path if path else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in [text.lower().replace(" ", "-") for text in headings], target


def test_readme_takes_a_minute_and_leads_to_every_page():
    assert len(README.splitlines()) <= 150
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in README, page.name
    assert (ROOT / "docs" / "pictures.png").stat().st_size < 150_000
    assert (ROOT / "docs" / "warcraft.png").stat().st_size < 300_000


def test_the_figures_in_readme_are_those_that_were_measured():
    measured = (ROOT / "docs" / "benchmarks.md").read_text()
    steps, programs = README.index("| step | against | times as fast |\n"), README.index("| program | auto |")
    rows = re.findall(r"^\| (.*) \| (.*) \| ([\d.]+) \|$", README[steps:programs], re.MULTILINE)
    assert len(rows) == 3
    for title, against, times in rows:
        row = re.escape(f"| {title} | {against} | ") + rf"[^|]* \| {re.escape(times)} \|"
        assert re.search(f"^{row}", measured, re.MULTILINE), title
    shown = dict(re.findall(r"^\| ([^|]*?)(?: \(mixed\))? \| ([\d.| ]+) \|$", README[programs:], re.MULTILINE))
    assert len(shown) == 5
    for title, figures in shown.items():
        (known,) = re.findall(rf"^\| {re.escape(title)} \| (.*) \|$", measured, re.MULTILINE)
        auto, *_, plain, highs, cbc, _, _ = known.split(" | ")
        for said, figure in zip(figures.split(" | "), (auto, plain, highs, cbc), strict=True):
            assert float(said) == float(figure) or float(said) == round(float(figure)), title


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    """In backticks, from the checkout's root, or from a package as CONTRIBUTING names them."""
    roots = [ROOT, ROOT / "imle_solvers", ROOT / "adapters" / "imle_adapters"]
    for name in re.findall(r"`(\w+/(?:[\w/]+\.py)?)`", page.read_text()):
        assert any((root / name).exists() for root in roots), name


def test_every_estimator_and_loss_is_in_the_docs():
    from imle_solvers import estimators

    text = (ROOT / "docs" / "estimators.md").read_text()
    for name in (
        *estimators.__all__,
        "FenchelYoungLoss",
        "HammingLoss",
        "RegretLoss",
        "SPOPlusLoss",
        "ScoreFunctionLoss",
    ):
        assert name == "Estimator" or f"`{name}" in text, name


def test_make_targets_exist():
    named = [name for page in PAGES for name in re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(), re.MULTILINE)]
    assert set(named) >= {"warcraft", "test"}
    found = subprocess.run(["make", "-n", *set(named)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_the_context_of_each_adapter_is_as_listed():
    import networkx as nx

    from imle_adapters import (
        AssignmentAdapter,
        MaxArborescenceAdapter,
        MaxSpanningTreeAdapter,
        ShortestPathAdapter,
        TopKAdapter,
    )

    adapters = {
        "ShortestPathAdapter(graph": ShortestPathAdapter(nx.path_graph(3), 0, 2),
        "ShortestPathAdapter.grid": ShortestPathAdapter.grid(2, 2),
        "MaxSpanningTreeAdapter": MaxSpanningTreeAdapter(nx.path_graph(3)),
        "MaxArborescenceAdapter": MaxArborescenceAdapter(nx.path_graph(3, nx.DiGraph)),
        "AssignmentAdapter": AssignmentAdapter(2, 2, unmatched=1.0),
        "TopKAdapter": TopKAdapter(2, 1),
    }
    for start, adapter in adapters.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{start}"))
        assert re.findall(r"`(\w+)`", row.split("|")[3]) == list(adapter.context)
