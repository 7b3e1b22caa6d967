"""The examples run, from anywhere, and learn."""

import os
import re
import subprocess
import sys

import pytest

from examples.common.methods import METHODS
from examples.warcraft.methods import PLAIN
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"


def check_results(name, folder, bars):
    picture = (folder / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
    assert "100%|" in bars


def run_quick(command, folder, out):
    """Runs a program of its own, where warnings are errors; returns what it prints, and its bars."""
    run = subprocess.run(
        [sys.executable, "-W", "error", *command, "--quick", "--out", str(out)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr


def test_warcraft(tmp_path):
    printed, bars = run_quick([EXAMPLES / "warcraft"], folder=tmp_path, out=tmp_path)
    check_results("warcraft", tmp_path, bars)
    for title in (r"ResNet18 front \+ solver layer \(imle\)", "plain ResNet18"):
        for when in ("before", "after"):
            assert re.search(rf"{title}, {when} training: exact match [\d.]+%, cost-optimal [\d.]+%\n", printed)


def test_every_method_trains_and_is_compared(call, tmp_path):
    code, printed, _ = call(
        "warcraft", "--method", "all", "--seeds", 2, "--epochs", 1, "--train-maps", 8, "--test-maps", 4, "--workers", 0
    )
    assert code == 0
    methods = (*METHODS, PLAIN)
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in printed if line.startswith("| ")}
    assert tuple(rows) == ("method", "---", *methods)
    column = [title.strip() for title in rows["method"]].index("solves in training")
    solves = {method: int(rows[method][column]) for method in methods}
    assert solves == {
        **dict.fromkeys(("imle", "aimle", "blackbox"), 16),
        "aimle-central": 24,
        **dict.fromkeys(("identity", "ste", "fenchel-young"), 8),
        **dict.fromkeys(("perturbed", "score"), 80),
        "none": 0,
    }
    assert (tmp_path / "out" / "table.md").read_text().splitlines() == [line for line in printed if line[0] == "|"]
    assert (tmp_path / "out" / "compare.png").stat().st_size > 10_000


def test_road_network(call, tmp_path):
    code, printed, bars = call("road_network", "--quick")
    assert code == 0
    check_results("road_network", tmp_path / "out", "\n".join(bars))
    printed = "\n".join(printed)
    optimal = {
        when: float(re.search(rf"{when} training: exact match [\d.]+%, cost-optimal ([\d.]+)%", printed)[1])
        for when in ("before", "after")
    }
    assert optimal["after"] > optimal["before"] + 30
    assert float(re.search(r"after training: .* rank correlation ([\d.]+)", printed)[1]) > 0.4


def test_custom_solver(tmp_path):
    printed, bars = run_quick(["-m", "examples.custom_solver"], folder=ROOT, out=tmp_path)
    check_results("custom_solver", tmp_path, bars)
    values = [float(value) for value in re.findall(r"value (-?[\d.]+)% of the best", printed)]
    assert len(values) == 2
    assert values[1] > values[0]


def test_real_roads(call, data_folder):
    code, printed, _ = call(
        "road_network", "--tntp", data_folder / "roads_tntp" / "SiouxFalls_net.tntp", "--epochs", 1, "--routes", 40
    )
    assert code == 0
    assert printed[0].startswith("SiouxFalls: 24 nodes, 76 roads")


def test_written_maps_can_be_read_again(call, tmp_path):
    few = ("--train-maps", 4, "--test-maps", 3)
    assert call("warcraft", *few, "--write", tmp_path / "maps") == (0, [f"maps: {tmp_path / 'maps' / '12x12'}"], [])
    code, printed, _ = call("warcraft", "--data", tmp_path / "maps", "--epochs", 1, "--no-baseline", *few)
    assert code == 0
    assert printed[0] == "4 maps of 12x12 to train on, 3 held out to test on"


def test_the_custom_solver_is_known_to_workers_without_torch():
    program = "import examples.custom_solver.knapsack, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("method", ["imle", "none"])
def test_the_last_batch_may_be_a_single_map(call, method):
    code, _, errors = call(
        "warcraft", "--train-maps", 3, "--test-maps", 1, "--batch-size", 2, "--epochs", 1, "--method", method
    )
    assert code == 0, errors
