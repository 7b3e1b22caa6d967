"""Workers where there is little: no folders, no streams, few files, little memory."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.programs import needs_proc

pytestmark = [needs_proc, pytest.mark.slow]

# Root may write anywhere but to what cannot be written at all, so mounts and non-folders it is.
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
