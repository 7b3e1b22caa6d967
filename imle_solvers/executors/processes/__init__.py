"""Solving in worker processes: executor, pool, shared memory, and the program of a worker. For executors."""
