"""This process's connection to a Ray cluster, of which there can be one, shared by all who use it."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import ray

from imle_solvers.executors.cpus import available_cpus

_REACH_SECONDS = 5.0
"""How long a cluster may take to accept a connection. Ray itself tries for minutes."""

_lock = threading.RLock()  # a finalizer may leave while the same thread joins
_last: Connection | None = None
_ours: Connection | None = None
_ours_by = ""
_users = 0


@dataclass(frozen=True)
class Connection:
    """One period in which this process was connected to a cluster.

    Attributes:
        address: of the cluster, "host:port".
        job: what Ray calls this period.
        process_id: of this process: a fork has its parent's objects, but cannot use them.
    """

    address: str
    job: str
    process_id: int

    def alive(self) -> bool:
        """Whether it still lasts, here."""
        return self.process_id == os.getpid() and ray.is_initialized() and _current() == self

    def nodes(self) -> Sequence[Mapping[str, float]]:
        """What each living node has of each resource, used or not."""
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def leave(self) -> None:
        """Says that one of those who joined is done; Ray is shut down after the last, unless others started it."""
        global _ours, _users
        with _lock:
            if self == _ours and self.alive():
                _users -= 1
                if _users == 0:
                    _ours = None
                    ray.shutdown()


def join(address: str | None, cpus: float) -> Connection:
    """Connects to a cluster, or starts one on this machine; takes the connection that there is, if there is one.

    Args:
        address: see `RayExecutor`.
        cpus: that a cluster which is started should have at least.

    Raises:
        ConnectionError: there is no cluster at the address.
        RuntimeError: this process is connected to another cluster, or is a fork of one that is connected.
    """
    global _last, _ours, _ours_by, _users
    with _lock:
        if ray.is_initialized():
            connection = _current()
            if _last is not None and replace(_last, process_id=os.getpid()) == connection != _last:
                raise RuntimeError(
                    "Ray does not work in a fork of a process that is connected to it; start this process with the "
                    'method "spawn", or solve with num_workers=0 here'
                )
            usable = {None, "auto", connection.address} | ({_ours_by} if connection == _ours else set())
            if address not in usable:
                raise RuntimeError(
                    f"expected to connect to {address!r}, but this process is connected to {connection.address} "
                    "already; leave out the address to use that, or call ray.shutdown() before"
                )
        else:
            _ours_by = _find(address)
            _init(_ours_by, cpus)
            connection = _ours = _current()
            _users = 0
        _last = connection
        if connection == _ours:
            _users += 1
        return connection


def _current() -> Connection:
    context = ray.get_runtime_context()
    return Connection(context.gcs_address, context.get_job_id(), os.getpid())


def _find(address: str | None) -> str:
    """What to tell Ray: the address of a cluster that can be reached, or "local"."""
    if address in (None, "auto"):
        named, started = os.environ.get("RAY_ADDRESS"), _started_here()
        if started is not None and not _reached(started):  # it ended without a word
            started = None
        if address == "auto" and not named and not started:
            raise ConnectionError(
                'address="auto" found no Ray cluster; start one with `ray start --head`, or leave out the address'
            )
        address = named or started or "local"
    assert address is not None
    if not _reached(address):
        raise ConnectionError(
            f"no Ray cluster answers at {address} within {_REACH_SECONDS:g} s; expected the host:port that "
            "`ray start --head` prints"
        )
    return address


def _started_here() -> str | None:
    """The cluster that was last started on this machine, as `ray.init()` finds it."""
    from ray._private.services import find_bootstrap_address

    address: str | None = find_bootstrap_address(None)
    return address


def _reached(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        return True  # of a form that is for Ray to judge
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS).close()
    except OSError:
        return False
    return True


def _init(address: str, cpus: float) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        ray.init(address, num_cpus=max(available_cpus(), math.ceil(cpus)), include_dashboard=False, **quiet)
    else:
        ray.init(address, **quiet)
