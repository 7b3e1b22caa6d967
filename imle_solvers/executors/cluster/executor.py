"""Solving on a Ray cluster, for solvers that are worth more cores than one machine has."""

from __future__ import annotations

import importlib.util
import math
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.errors import AdapterError
from imle_solvers.executors.adapter_keys import AdapterKeys
from imle_solvers.executors.base import Executor, Progress
from imle_solvers.executors.cpus import check_num_workers

if TYPE_CHECKING:
    from imle_solvers.executors.cluster.actors import Actors
    from imle_solvers.executors.cluster.connection import Connection


class RayExecutor(Executor):
    """Solves in actors on a Ray cluster, which the loss of an actor or of a node does not stop.

    An actor holds the adapter and its state, imports no torch and runs one thread; chunks of batches travel by Ray's
    object store. What a script or a notebook defines travels by value; what it imports must be importable on the nodes,
    and so must this package, of the same version.

    Actors start at the first batch. If there is room for some only, these do the work, with a warning, and the others
    join when there is more. An actor that dies is replaced in the same way, and its part of the batch is solved again;
    an instance on which an actor dies twice ends CRASHED, alone.

    A process can be connected to one cluster. If it is already, that connection is used and outlives the executor. If
    not, the executor connects, and Ray is shut down when the last executor that uses it is closed.

    Args:
        address: "host:port" of a cluster; "local": a new one on this machine; "auto": the one that `RAY_ADDRESS` names
            or that was started on this machine; None: the same if there is one, otherwise a new one on this machine.
        num_workers: how many actors; None: as many as the nodes have room for at the first batch, until when the
            attribute is 0.
        resources: what an actor takes of its node, by Ray's names: "CPU", "GPU", "memory" (bytes) or one's own; by
            default one CPU.
        start_timeout: seconds for which there may be no actor at all, in which a cluster may start nodes.

    Raises:
        ImportError: Ray is not installed.
        TypeError, ValueError: an argument that cannot work, saying what is expected.
    """

    def __init__(
        self,
        address: str | None = None,
        num_workers: int | None = None,
        resources: Mapping[str, float] | None = None,
        *,
        start_timeout: float = 60.0,
    ) -> None:
        super().__init__()
        if importlib.util.find_spec("ray") is None:
            raise ImportError('RayExecutor needs Ray: pip install "imle-solvers[ray]"')
        if address is not None and not isinstance(address, str):
            raise TypeError(f'address must be "host:port", "local", "auto" or None, got {address!r}')
        if not 0 < start_timeout < math.inf:
            raise ValueError(f"start_timeout must be a positive number of seconds, got {start_timeout!r}")
        self.address = address
        self.resources: dict[str, float] = _check_resources(resources, num_workers)
        self.start_timeout = start_timeout
        self.num_workers: int = 0 if num_workers is None else check_num_workers(num_workers)
        self._settings = address, num_workers, dict(self.resources), start_timeout
        self._lock = threading.RLock()  # a callback or a signal handler may close in the middle of a batch
        self._solving = False
        self._connection: Connection | None = None
        self._actors: Actors | None = None
        self._leave: Callable[[], object] | None = None
        self._adapters = AdapterKeys()

    def check(self, adapter: SolverAdapter) -> None:
        """Pickles the adapter, which is kept. Raises `AdapterError` if that is impossible."""
        self._adapters.pickled(adapter)

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress) -> Solutions:
        with self._lock:
            if self._solving:
                raise RuntimeError(f"{self!r} is in the middle of a batch in this thread; use another one in callbacks")
            key, pickled = self._adapters.number(adapter)
            actors = self._start()
            actors.forget(self._adapters.dropped())
            self._solving = True
            try:
                return actors.solve(key, pickled, adapter, thetas, context, progress)
            except AdapterError:
                raise  # every chunk was answered, the actors are sound
            except BaseException:
                # Answers may still be on their way: these actors cannot be used again.
                actors.close()
                self._actors = None
                raise
            finally:
                self._solving = False
                if self.closed:
                    self._end()

    def _start(self) -> Actors:
        """The actors, on a cluster; both anew where there are none, or where Ray was shut down in the meantime."""
        # Here and not above: without Ray, and without a RayExecutor, everything else works and is not slowed down.
        from imle_solvers.executors.cluster import connection
        from imle_solvers.executors.cluster.actors import Actors

        self._check_open()  # with the lock, for which this thread may have waited while another closed
        asked = self._settings[1]
        if self._connection is None or not self._connection.alive():
            self._actors = None
            self._connection = connection.join(self.address, (asked or 0) * self.resources.get("CPU", 0))
            self._leave = weakref.finalize(self, self._connection.leave)
        if self._actors is None:
            self.num_workers = asked or max(1, sum(_room(node, self.resources) for node in self._connection.nodes()))
            self._actors = Actors(self._connection, self.num_workers, self.resources, self.start_timeout)
            weakref.finalize(self, self._actors.close)
        return self._actors

    def close(self) -> None:
        """Ends the actors after the batch that they are at, and Ray if no other executor uses what was started."""
        super().close()
        with self._lock:
            if not self._solving:
                self._end()

    def _end(self) -> None:
        if self._actors is not None:
            self._actors.close()
        if self._leave is not None:
            self._leave()
        self._actors = self._connection = None

    def __reduce__(self) -> tuple[object, ...]:
        return _make, self._settings

    def __repr__(self) -> str:
        address, num_workers, resources, _ = self._settings
        return f"RayExecutor(address={address!r}, num_workers={num_workers}, resources={resources})"


def _make(
    address: str | None, num_workers: int | None, resources: Mapping[str, float], start_timeout: float
) -> RayExecutor:
    return RayExecutor(address, num_workers, resources, start_timeout=start_timeout)


def _check_resources(resources: Mapping[str, float] | None, num_workers: int | None) -> dict[str, float]:
    needs = {"CPU": 1.0} if resources is None else dict(resources)
    for name, need in needs.items():
        if not isinstance(name, str) or isinstance(need, bool) or not isinstance(need, int | float) or not need >= 0:
            raise ValueError(
                f'resources must be amounts of at least 0 by name, such as {{"CPU": 1}}, got {resources!r}'
            )
    if num_workers is None and not any(needs.values()):
        raise ValueError(f"num_workers: expected a number, as actors that take {resources!r} fit any number of times")
    return needs


def _room(node: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many actors fit on an empty node."""
    return min(int(node.get(name, 0) / need) for name, need in needs.items() if need)
