"""What solves of a program in one worker share."""

from __future__ import annotations

from dataclasses import dataclass

from imle_adapters.ilp.engines.backends import ENGINES
from imle_adapters.ilp.engines.engine import Engine
from imle_adapters.ilp.engines.search import Search
from imle_adapters.ilp.program import Program
from imle_solvers.deferred import Deferred


@dataclass
class State:
    """See the module.

    Attributes:
        program: what is solved, but for costs and bounds.
        solvers: names of those that the engine is made of.
        engine: the backend.
        deferred: the compiled search, if it is worth while, which another process compiles at first.
        linear: see `relaxation`.
        stopped: whether `stop` was called, after which nothing can be solved.
    """

    program: Program
    solvers: tuple[str, ...]
    engine: Engine
    deferred: Deferred[Search | None] | None = None
    linear: Engine | None = None
    stopped: bool = False

    @property
    def search(self) -> Search | None:
        """The search, if it is worth while, once its kernels are compiled. Until then the backend solves all."""
        return None if self.deferred is None else self.deferred.get()

    def relaxation(self) -> Engine:
        """GLOP on the rows of the program without integrality; made when first needed."""
        if self.linear is None:
            self.linear = ENGINES["glop"](self.program.relaxed(), 0.0)
        return self.linear

    def stop(self) -> None:
        """Ends solves for good; CBC and HiGHS cannot be stopped in the middle of one."""
        self.stopped = True
        self.engine.stop()
        if self.linear is not None:
            self.linear.stop()
