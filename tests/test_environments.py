"""Worker processes where people really use them: in loaders, daemons, forks and notebooks, in small and harsh places.

Most tests run a program of their own. It carries a mark in its environment, which all that it starts inherits, so that
nothing left behind goes unseen.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch

from imle_solvers import ProcessExecutor, SerialExecutor, SolverLayer, Status, ThreadExecutor
from imle_solvers.executors.pool import RESTARTS
from tests.solvers import function_adapter, identity, top_k

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="looks at processes in /proc")

PATIENCE = 180.0
"""Seconds after which something is taken to hang; nothing here needs more than a few."""

PRELUDE = """
import os, resource, signal, subprocess, sys, threading, time
import numpy as np
from imle_solvers import ProcessExecutor, ThreadExecutor, WorkerDiedError
from tests.solvers import function_adapter, identity, slow

def solve(executor, seconds=0.0, rows=4):
    thetas = np.full((rows, 2), seconds)
    thetas[:, 1] = np.arange(rows)
    return np.array_equal(executor.solve(function_adapter(slow), thetas).values, thetas)

def pids(executor):
    return [process.pid for process in executor._pool.processes]

def say(*words):
    print(*words, flush=True)
"""


class Program:
    """A running Python program, and whatever it starts."""

    def __init__(self, folder, text, *arguments, launcher=(), **environment):
        self.mark = f"IMLE_TEST_PROGRAM={uuid.uuid4()}"
        self.output, self.errors = folder / "output", folder / "errors"
        (folder / "program.py").write_text(PRELUDE + textwrap.dedent(text))
        name, value = self.mark.split("=")
        path = os.pathsep.join(entry for entry in sys.path if entry)
        # Python 3.12 warns of forks beside threads, which is what some of these are about.
        ours = {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore::DeprecationWarning", name: value}
        # Not pipes, which would not end before what is left behind.
        with self.output.open("w") as output, self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [*launcher, sys.executable, str(folder / "program.py"), *arguments],
                cwd=folder,
                env={**os.environ, **ours, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def line(self, number=0):
        """A line of output, once it is there."""
        wait_until(lambda: self.output.read_text().count("\n") > number or self.process.poll() is not None)
        assert self.output.read_text().count("\n") > number, self.errors.read_text()
        return self.output.read_text().split("\n")[number]

    def end(self):
        """Its exit code, output and errors, and that it left nothing."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"hangs; so far: {self.output.read_text()}{self.errors.read_text()}")
        assert self.nothing_left()
        return code, self.output.read_text(), self.errors.read_text()

    def nothing_left(self, seconds=5.0):
        return wait_until(lambda: not self.running(), seconds)

    def running(self):
        """The processes, dead ones aside, that carry the mark."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended just now
                if self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found


def wait_until(holds, seconds=PATIENCE):
    """Whether something comes to hold within some seconds."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


@pytest.fixture
def start(tmp_path):
    """Starts a program, and at the end kills what it should not have left."""
    programs = []

    def start(text, *arguments, **options):
        programs.append(Program(tmp_path, text, *arguments, **options))
        return programs[-1]

    yield start
    for program in programs:
        for pid in program.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        program.process.wait()


@pytest.fixture
def pool():
    with ProcessExecutor(2) as executor:
        yield executor


def pids(executor):
    return [process.pid for process in executor._pool.processes]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# Children of multiprocessing, and forks.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "method"),
    [("processes", "fork"), ("processes", "spawn"), ("processes", "forkserver"), ("threads", "fork")],
)
def test_the_workers_of_a_data_loader_solve(start, executor, method):
    program = start(
        """
        import multiprocessing
        import torch
        from torch.utils.data import DataLoader, Dataset
        from imle_solvers import SolverLayer

        class Solutions(Dataset):
            def __init__(self, layer):
                self.layer = layer
            def __len__(self):
                return 8
            def __getitem__(self, row):
                return self.layer.map(torch.full((3, 2), float(row)))

        class Again:
            def __init__(self, layer):
                self.layer = layer
            def __call__(self, rows):
                return self.layer.map(torch.cat(rows))

        if __name__ == "__main__":
            multiprocessing.set_forkserver_preload(["torch"])
            layer = SolverLayer(function_adapter(identity), executor=sys.argv[1], num_workers=1)
            layer.map(torch.ones(4, 2))
            loader = DataLoader(Solutions(layer), batch_size=2, num_workers=2, collate_fn=Again(layer),
                                multiprocessing_context=sys.argv[2])
            say([batch[:, 0].tolist() for batch in loader] == [[2.0 * i] * 3 + [2.0 * i + 1] * 3 for i in range(4)])
            say(layer.map(torch.ones(4, 2)).sum().item())
        """,
        executor,
        method,
    )
    assert program.end() == (0, "True\n8.0\n", "")


DAEMON = """
    import multiprocessing

    def work(executor):
        say(solve(executor), os.getpid(), *pids(executor))
        solve(executor, 60.0)

    if __name__ == "__main__":
        executor = ProcessExecutor(2)
        solve(executor)
        daemon = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(executor,), daemon=True)
        daemon.start()
        daemon.join()
        say(all(process.poll() is None for process in executor._pool.processes), solve(executor))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_daemonic_process_has_workers_that_end_with_it(start, method):
    program = start(DAEMON, method)
    solved, daemon, *workers = program.line().split()
    assert solved == "True" and all(alive(pid) for pid in workers)
    os.kill(int(daemon), signal.SIGKILL)
    assert wait_until(lambda: not any(alive(pid) for pid in workers), 5)
    assert program.end() == (0, program.line() + "\nTrue True\n", "")


def test_a_solver_of_the_main_script_works_in_processes_that_import_the_script_again(start):
    program = start(
        """
        import multiprocessing

        def double(theta):
            return theta * 2

        def work():
            with ProcessExecutor(1) as executor:
                say(executor.solve(function_adapter(double), np.ones((2, 2))).values.sum())

        if __name__ == "__main__":
            process = multiprocessing.get_context("spawn").Process(target=work)
            process.start()
            process.join()
        """
    )
    assert program.end() == (0, "8.0\n", "")


@pytest.mark.parametrize("kind", [ProcessExecutor, ThreadExecutor])
def test_a_fork_in_mid_batch_solves_and_ends_and_the_parent_goes_on(start, kind):
    program = start(
        """
        executor = globals()[sys.argv[1]](2)
        solve(executor)
        before = pids(executor) if isinstance(executor, ProcessExecutor) else []
        thread = threading.Thread(target=lambda: say(solve(executor, 0.5)))
        thread.start()
        time.sleep(0.2)
        if os.fork() == 0:
            sys.exit(0 if solve(executor) and solve(executor) else "wrong")
        say(os.waitstatus_to_exitcode(os.wait()[1]))
        thread.join()
        say(solve(executor), before == (pids(executor) if before else []))
        """,
        kind.__name__,
    )
    code, out, err = program.end()
    assert (code, sorted(out.split("\n")), err) == (0, ["", "0", "True", "True True"], "")


def test_a_fork_in_the_very_first_batch_solves(start):
    """Another thread is starting the workers just then, and holds whatever it holds."""
    program = start(
        """
        begun, forked = threading.Event(), threading.Event()
        popen = subprocess.Popen

        class Held(popen):
            def __init__(self, *arguments, **options):
                begun.set()
                forked.wait()
                super().__init__(*arguments, **options)

        executor = ProcessExecutor(2)
        subprocess.Popen = Held
        thread = threading.Thread(target=lambda: say(solve(executor)))
        thread.start()
        begun.wait()
        if os.fork() == 0:
            subprocess.Popen = popen
            signal.alarm(20)  # it hangs
            os._exit(0 if solve(executor) else 1)
        forked.set()
        thread.join()
        say(os.waitstatus_to_exitcode(os.wait()[1]))
        """
    )
    assert program.end() == (0, "True\n0\n", "")


def test_a_fork_closes_an_executor_that_the_parent_is_using(start):
    program = start(
        """
        executor = ProcessExecutor(2)
        solve(executor)
        thread = threading.Thread(target=lambda: say(solve(executor, 1.0)))
        thread.start()
        time.sleep(0.2)
        if os.fork() == 0:
            signal.alarm(20)  # it hangs
            executor.close()
            os._exit(0)
        thread.join()
        say(os.waitstatus_to_exitcode(os.wait()[1]))
        """
    )
    assert program.end() == (0, "True\n0\n", "")


def test_workers_end_with_their_parent_though_a_fork_of_it_lives_on(start):
    program = start(
        """
        executor = ProcessExecutor(2)
        solve(executor)
        if (fork := os.fork()) == 0:
            time.sleep(600)
        say(fork, *pids(executor))
        solve(executor, 60.0)
        """
    )
    fork, *workers = map(int, program.line().split())
    program.process.kill()
    ended = wait_until(lambda: not any(alive(pid) for pid in workers), 5)
    assert alive(fork) and ended


# Notebooks.

NOTEBOOK = """
    import code, io, json

    def read(cells):
        interpreter = code.InteractiveInterpreter(sys.modules["__main__"].__dict__)
        for number, cell in enumerate(cells):
            interpreter.runsource(cell, f"<cell {number}>", "exec")

    notebook = sys.stdout
    sys.stdout = io.StringIO()  # no file descriptor behind it, as in a kernel
    executor = ProcessExecutor(2)

    def values(fn):
        solved = executor.solve(function_adapter(fn), np.ones((4, 2))).values
        print(*{float(value) for value in solved.ravel()}, file=notebook, flush=True)

    read(json.loads(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["values(lambda theta: theta + 1)"], [2]),
        (["def shift(by):\n    return lambda theta: theta + by", "values(shift(2))", "values(shift(3))"], [3, 4]),
        (
            [
                "class Counts:\n"
                "    def __init__(self, start):\n        self.start = start\n"
                "    def __call__(self, theta):\n        return theta + self.start\n",
                "values(Counts(4))",
                "Counts.__call__ = lambda self, theta: theta - self.start",
                "values(Counts(4))",
            ],
            [5, -3],
        ),
        (["def fn(t):\n    return t + 1\n", "values(fn)", "def fn(t):\n    return t + 2\n", "values(fn)"], [2, 3]),
        (
            [
                "def helper(t):\n    return t + 1\n",
                "def fn(t):\n    return helper(t)\n",
                "values(fn)",
                "def helper(t):\n    return t + 2\n",
                "values(fn)",
            ],
            [2, 3],
        ),
        (["step = 1\nfn = lambda t: t + step", "values(fn)", "step = 5", "values(fn)"], [2, 6]),
    ],
    ids=["lambda", "closure", "class changed later", "redefined", "helper redefined", "global changed"],
)
def test_cells_of_a_notebook_reach_workers_as_they_are_now(start, cells, expected):
    program = start(NOTEBOOK, json.dumps(cells))
    output = "".join(f"{float(value)}\n" for value in expected)
    assert program.end() == (0, output, "")


# Harsh places. Root may write anywhere but to what cannot be written at all, so mounts and non-folders it is.

MOUNTS = {
    "everything read-only": """
        mount -o remount,bind,ro / && mount -t tmpfs -o ro tmpfs /dev/shm &&
        ! touch "$PWD/x" "${TMPDIR:-/tmp}/x" /dev/shm/x 2>/dev/null""",
    "/dev/shm full": """
        mount -t tmpfs -o size=4k tmpfs /dev/shm && ! head -c 1M /dev/zero 2>/dev/null >/dev/shm/full""",
    "/dev/shm missing": """
        mkdir dev && mount -t tmpfs tmpfs dev && touch dev/null dev/urandom && mount --bind /dev/null dev/null &&
        mount --bind /dev/urandom dev/urandom && mount --rbind dev /dev && ! test -e /dev/shm""",
}


def with_mounts(commands):
    launcher = ["unshare", "-rm", "sh", "-c", commands + ' && exec "$0" "$@"']
    try:
        tried = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        tried = None
    if tried is None or tried.returncode:
        pytest.skip("needs a mount namespace, as `unshare -rm` makes where users may")
    return launcher


@pytest.mark.parametrize("place", MOUNTS)
def test_batches_need_no_file_system(start, place):
    program = start("say(solve(ProcessExecutor(2), rows=2000))", launcher=with_mounts(MOUNTS[place]))
    assert program.end() == (0, "True\n", "")


COMPILED = """
    import networkx
    from imle_adapters import MaxSpanningTreeAdapter

    adapter = MaxSpanningTreeAdapter(networkx.cycle_graph(5))
    for kind in (ThreadExecutor, ProcessExecutor):  # no layer, as torch itself needs a folder for temporary files
        with kind(2) as executor:
            say(executor.solve(adapter, np.arange(20.0).reshape(4, 5)).values.sum())
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["no folders", "everything read-only"])
def test_compiled_adapters_need_no_folder_to_cache_in(start, place):
    nowhere = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), "/dev/null/nowhere")
    if place == "no folders":
        program = start(COMPILED, **nowhere)
    else:
        program = start(COMPILED, launcher=with_mounts(MOUNTS[place]), HOME="/dev/null/nowhere")
    assert program.end() == (0, "16.0\n16.0\n", "")


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"], ids=["stdin", "all"])
def test_a_daemon_without_standard_streams(start, tmp_path, closed):
    program = start(
        "solved = solve(ProcessExecutor(2))\nopen('solved', 'w').write(str(solved))",
        launcher=["sh", "-c", f'exec "$0" "$@" {closed}'],
    )
    assert program.end() == (0, "", "")
    assert (tmp_path / "solved").read_text() == "True"


def test_more_open_files_than_select_takes(start):
    program = start(
        """
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard != resource.RLIM_INFINITY and hard < 2048:
            sys.exit(77)
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
        files = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
        say(solve(ProcessExecutor(2)))
        """
    )
    code, out, err = program.end()
    if code == 77:
        pytest.skip("needs a hard limit of 2048 open files")
    assert (code, out, err) == (0, "True\n", "")


SMALL = """
    def files():
        return sorted(os.listdir("/proc/self/fd"))

    executor = ProcessExecutor(4)
    before = files()
    if sys.argv[1] == "files":
        limit, value = resource.RLIMIT_NOFILE, len(before) + 8
    else:
        limit, value = resource.RLIMIT_NPROC, 1
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, hard))
    try:
        solve(executor)
    except (OSError, WorkerDiedError) as error:
        say(error)
        del error
    resource.setrlimit(limit, (soft, hard))
    say(files() == before, os.system("exit 7") >> 8, subprocess.run(["pgrep", "-P", str(os.getpid())]).returncode)
    say(solve(executor))
"""


def as_somebody_else():
    """Launches programs as a user whom limits bind, who may still read the environment wherever it lies."""
    read = "-all,+dac_override"
    launcher = ["setpriv", "--reuid=65534", f"--inh-caps={read}", f"--ambient-caps={read}", f"--bounding-set={read}"]
    if (
        shutil.which("setpriv") is None
        or subprocess.run([*launcher, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs another user than root, whom the limit does not bind")
    return launcher


@pytest.mark.parametrize(
    ("what", "message"), [("files", "Too many open files"), ("processes", "Resource temporarily unavailable")]
)
def test_too_few_files_or_processes_is_a_clear_error_that_leaves_nothing(start, what, message):
    launcher = as_somebody_else() if what == "processes" and os.getuid() == 0 else ()
    code, out, err = start(SMALL, what, launcher=launcher).end()
    error, rest = out.split("\n", 1)
    assert (code, rest, err) == (0, "True 7 1\nTrue\n", "")
    assert message in error
    assert "worker process" in error and "num_workers=0" in error


@pytest.mark.parametrize("limit", ["RLIMIT_FSIZE", "RLIMIT_AS"])
def test_a_batch_for_which_there_is_no_memory_is_a_clear_error_and_smaller_ones_work(start, limit):
    program = start(
        """
        executor = ProcessExecutor(2)
        thetas = np.ones((1000, 20_000))  # 160 MB, and as much for solutions
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        value = {"RLIMIT_FSIZE": 2**20, "RLIMIT_AS": used + 2**28}[sys.argv[1]]
        resource.setrlimit(getattr(resource, sys.argv[1]), (value, value))
        say(solve(executor))
        try:
            executor.solve(function_adapter(identity, n=20_000), thetas)
        except OSError as error:
            say(error)
        say(solve(executor))
        """,
        limit,
    )
    code, out, err = program.end()
    assert (code, err) == (0, "")
    before, error, after, _ = out.split("\n")
    assert (before, after) == ("True", "True")
    assert "no room for a batch of 320.0 MB" in error and "num_workers=0" in error


# Ends.


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_the_program_ends_while_a_thread_solves(start, end):
    program = start(
        f"""
        executor = ProcessExecutor(2)
        solve(executor)
        threading.Thread(target=solve, args=(executor, 600.0), daemon=True).start()
        time.sleep(0.3)
        {end}
        """
    )
    assert program.end() == (-signal.SIGTERM if "kill" in end else 3, "", "")


def test_the_program_ends_in_the_middle_of_a_batch(start):
    program = start(
        """
        executor = ProcessExecutor(2)
        signal.signal(signal.SIGALRM, lambda *_: sys.exit(3))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        solve(executor, 600.0)
        """
    )
    assert program.end() == (3, "", "")


def test_a_layer_in_a_reference_cycle_takes_its_workers_with_it():
    layer = SolverLayer(top_k(3, 1), executor="processes", num_workers=2)
    layer(torch.zeros(4, 3))
    layer.itself, workers = [layer], pids(layer._executor)
    assert all(alive(pid) for pid in workers)
    del layer
    gc.collect()
    assert not any(alive(pid) for pid in workers)


@pytest.mark.parametrize("end", ["close", "collect", "with"])
@pytest.mark.parametrize("kind", [ProcessExecutor, ThreadExecutor, SerialExecutor])
def test_a_layer_never_closes_an_executor_that_it_was_given(kind, end):
    with kind() if kind is SerialExecutor else kind(2) as executor:
        layer = SolverLayer(top_k(3, 1), executor=executor)
        layer(torch.zeros(4, 3))
        if end == "close":
            layer.close()
        if end == "with":
            with layer:
                pass
        del layer
        gc.collect()
        assert not executor.closed
        assert executor.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8


# What a worker is.


def test_workers_start_side_by_side(tmp_path, monkeypatch):
    """Each waits, at its start, until the other has started too."""
    python = tmp_path / "python"
    python.write_text(
        f"""#!/bin/sh
        touch {tmp_path}/started-$$
        for attempt in $(seq 600); do
            [ $(ls {tmp_path} | grep -c started) -ge 2 ] && exec {sys.executable} "$@"
            sleep 0.05
        done
        exit 7
        """
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with ProcessExecutor(2) as executor:
        solved = executor.solve(function_adapter(identity), np.ones((8, 2)))
        assert solved.values.sum() == 16 and RESTARTS not in solved.counters


def private_memory(pid):
    """In MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n")
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def test_a_worker_is_little_more_than_numpy(pool):
    pool.solve(function_adapter(identity), np.ones((8, 2)))
    code = "import numpy, cloudpickle; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
        bare.stdout.readline()
        least = private_memory(bare.pid)
        bare.stdin.close()
    assert max(map(private_memory, pids(pool))) < least + 60


def test_a_worker_imports_no_more_than_a_plain_function_needs(pool):
    heavy = ("torch", "networkx", "scipy", "numba", "ortools", "loky")

    def loaded(theta):
        return np.array([float(name in sys.modules) for name in heavy])

    adapter = function_adapter(loaded, solution_shape=(len(heavy),))
    np.testing.assert_array_equal(pool.solve(adapter, np.ones((4, 2))).values, np.zeros((4, len(heavy))))


def test_a_matrix_product_in_a_worker_takes_one_thread(pool, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")  # whatever the user has set for the parent

    def threads(theta):
        matrix = np.ones((500, 500))
        assert (matrix @ matrix).sum() == 500**3
        return np.full(2, len(os.listdir("/proc/self/task")))

    np.testing.assert_array_equal(pool.solve(function_adapter(threads), np.ones((4, 2))).values, 1)


# Signals.


@pytest.mark.parametrize("moment", ["subprocess.Popen, 'wait'", "SharedMemory, 'close'"], ids=["waiting", "letting go"])
def test_the_second_interrupt_comes_while_the_first_is_dealt_with(start, moment):
    program = start(
        f"""
        from imle_solvers.shared_batch import SharedMemory

        def interrupted_once(owner, name):
            original = getattr(owner, name)
            def method(*arguments, **options):
                setattr(owner, name, original)
                result = original(*arguments, **options)
                signal.raise_signal(signal.SIGINT)
                return result
            setattr(owner, name, method)

        executor = ProcessExecutor(3)
        solve(executor)
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        interrupted_once({moment})
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            solve(executor, 600.0)
        except KeyboardInterrupt:
            say(getattr({moment.split(",")[0]}, {moment.split(",")[1]}).__name__)
        say(solve(executor, rows=20))
        """
    )
    assert program.end() == (0, f"{moment.split(chr(39))[1]}\nTrue\n", "")


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_that_are_all_killed_while_idle_are_replaced(workers):
    thetas = np.random.default_rng(0).normal(size=(40, 2))
    with ProcessExecutor(workers) as executor:
        executor.solve(function_adapter(identity), thetas)
        for process in executor._pool.processes:
            process.kill()
            assert wait_until(lambda pid=process.pid: not alive(pid))
        solved = executor.solve(function_adapter(identity), thetas)
        np.testing.assert_array_equal(solved.values, thetas)
        assert solved.counters[RESTARTS] == workers


def test_workers_that_are_killed_as_they_start_are_replaced(monkeypatch):
    killed = []

    class KilledAtBirth(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            if len(killed) < 2:
                self.kill()
                killed.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", KilledAtBirth)
    with ProcessExecutor(2) as executor:
        solved = executor.solve(function_adapter(identity), np.ones((8, 2)))
        assert solved.values.sum() == 16 and solved.counters[RESTARTS] == len(killed) == 2
        assert not set(killed) & set(pids(executor))


@pytest.mark.parametrize("at", ["solving", "idle"])
def test_a_worker_that_is_stopped_is_ended_by_the_timeout(at):
    def stop_on_one(theta):
        if theta[0] == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        return theta

    adapter, thetas = function_adapter(stop_on_one), np.zeros((2, 2))
    with ProcessExecutor(1, timeout=2) as executor:
        executor.solve(adapter, thetas)
        (worker,) = pids(executor)
        go_on = threading.Timer(15, executor._pool.processes[0].send_signal, [signal.SIGCONT])  # so that nothing hangs
        go_on.start()
        if at == "idle":
            os.kill(worker, signal.SIGSTOP)
        else:
            thetas[1, 0] = 1
        solved = executor.solve(adapter, thetas)
        go_on.cancel()
        assert solved.counters.get(RESTARTS) == 1 and not alive(worker)
        assert at == "idle" or list(solved.statuses) == [Status.OPTIMAL, Status.TIMEOUT]
        np.testing.assert_array_equal(executor.solve(adapter, np.zeros((2, 2))).statuses, 0)


# Programs that solvers run, and what they print.


def test_what_a_solver_prints_is_seen(start):
    program = start(
        """
        def prints(theta):
            print("to output")
            print("to errors", file=sys.stderr)
            return theta

        with ProcessExecutor(2) as executor:
            executor.solve(function_adapter(prints), np.ones((6, 2)))
        """
    )
    assert program.end() == (0, "to output\n" * 6, "to errors\n" * 6)


def test_a_program_that_a_solver_left_running_does_not_hold_up_the_batch():
    def leave(theta):
        if theta[0]:
            os.system("sleep 15 &")
            os.kill(os.getpid(), signal.SIGKILL)
        return theta

    begin = time.monotonic()
    with ProcessExecutor(1) as executor:
        solved = executor.solve(function_adapter(leave), np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert list(solved.statuses) == [Status.OPTIMAL, Status.CRASHED]
    assert time.monotonic() - begin < 14  # and not for as long as the program runs


@pytest.mark.parametrize("end", ["timeout", "close", "kill"])
def test_a_program_that_a_solver_runs_ends_with_its_worker(start, end):
    program = start(
        """
        def run(theta):
            if theta[0]:
                subprocess.run(["sleep", "600"])
            return theta

        executor = ProcessExecutor(2, timeout=2 if sys.argv[1] == "timeout" else None)
        adapter = function_adapter(run)
        executor.solve(adapter, np.zeros((2, 2)))
        say("ready")
        thread = threading.Thread(target=executor.solve, args=(adapter, np.ones((1, 2))), daemon=True)
        thread.start()
        thread.join(0.5 if sys.argv[1] == "close" else None)
        """,
        end,
    )
    if end == "kill":
        program.line()
        time.sleep(0.5)
        program.process.kill()
    assert program.end()[0] == (-signal.SIGKILL if end == "kill" else 0)
