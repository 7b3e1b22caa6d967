"""Pictures of instances, solutions and trainings. Needs the extra `plot`, once something is drawn.

Functions take arrays or tensors, on any device, and draw on matplotlib axes, which they return; without any, on those
of a new figure. That figure is not one of pyplot's: `axes.figure.savefig("picture.png")` writes it, and in a notebook
`axes.figure` shows it. To draw where pyplot does, pass `axes=plt.gca()`.
"""

from imle_solvers.viz.animations import animate, animate_samples, animate_training
from imle_solvers.viz.curves import plot_curves, plot_diagnostics
from imle_solvers.viz.graphs import plot_graph
from imle_solvers.viz.grids import plot_grid
from imle_solvers.viz.instances import plot_solution, plot_values
from imle_solvers.viz.matrices import plot_bars, plot_matrix

__all__ = [
    "animate",
    "animate_samples",
    "animate_training",
    "plot_bars",
    "plot_curves",
    "plot_diagnostics",
    "plot_graph",
    "plot_grid",
    "plot_matrix",
    "plot_solution",
    "plot_values",
]
