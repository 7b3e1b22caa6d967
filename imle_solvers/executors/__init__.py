"""Where solves run: in-process, in threads, in worker processes, on a Ray cluster, or wherever it is fastest.

For the layer. Nothing is imported here, since worker processes come by.
"""
