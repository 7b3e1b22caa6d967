"""What README says runs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()

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


@pytest.mark.slow
def test_the_code_blocks_run_in_order(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    checks = {
        "ILPSpec(shape=(4,)": "assert z.shape == theta.grad.shape == (8, 4) and set(z.unique().tolist()) <= {0.0, 1.0}",
        "from_mps(": "assert plan.sense == 'min' and plan.shape == (2,) and plan.integrality.all()",
        "from_mathopt(": "assert ((z * torch.tensor([2.0, 3, 1, 4])).sum(-1) <= 5).all() and z.sum() > 0",
        "ShortestPathAdapter.grid(": "assert paths.shape == (70, 4, 12, 12)",
        "b_ub=capacities": "assert ((z * torch.tensor([2.0, 3, 1, 4])).sum(-1) <= capacities[:, 0]).all()",
        "mask=mask": "assert (best.sum(-1) == 2).all() and (best[~mask] == 0).all()",
        "is_binary = True": "assert adapter.is_binary is True",
    }
    for text in checks:
        assert sum(text in block for block in blocks) == 1, text
    program = "\n".join(
        "\n".join([block, *(check for text, check in checks.items() if text in block)]) for block in blocks
    )
    (tmp_path / "plan.mps").write_text(MPS)
    run = subprocess.run(
        [sys.executable, "-"], input=program, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_the_code_blocks_of_the_docs_run(page, tmp_path):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        run = subprocess.run(
            [sys.executable, "-"], input=block, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_every_estimator_and_loss_is_in_the_docs():
    from imle_solvers import estimators

    text = (ROOT / "docs" / "estimators.md").read_text()
    for name in (*estimators.__all__, "FenchelYoungLoss", "SPOPlusLoss", "ScoreFunctionLoss"):
        assert name == "Estimator" or f"`{name}" in text, name


def test_make_targets_exist():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE)
    assert set(named) >= {"warcraft", "test"}
    assert set(named) <= set(targets)


def test_the_context_of_each_adapter_is_as_listed():
    import networkx as nx

    from imle_adapters import AssignmentAdapter, MaxSpanningTreeAdapter, ShortestPathAdapter, TopKAdapter

    adapters = {
        "ShortestPathAdapter(graph": ShortestPathAdapter(nx.path_graph(3), 0, 2),
        "ShortestPathAdapter.grid": ShortestPathAdapter.grid(2, 2),
        "MaxSpanningTreeAdapter": MaxSpanningTreeAdapter(nx.path_graph(3)),
        "AssignmentAdapter": AssignmentAdapter(2, 2, unmatched=1.0),
        "TopKAdapter": TopKAdapter(2, 1),
    }
    for start, adapter in adapters.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{start}"))
        assert re.findall(r"`(\w+)`", row.split("|")[3]) == list(adapter.context)
