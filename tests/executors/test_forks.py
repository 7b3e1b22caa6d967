"""Worker processes in data loaders, daemons and forks."""

from __future__ import annotations

import os
import signal

import pytest

from imle_solvers import ProcessExecutor, ThreadExecutor
from tests.programs import alive, needs_proc, wait_until

pytestmark = [needs_proc, pytest.mark.slow]


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
