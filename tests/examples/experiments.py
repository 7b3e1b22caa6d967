"""The experiments, for the tests that all have to pass; a new one adds a line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One folder of `examples`.

    Attributes:
        name: of the folder.
        target: of make.
        quick: options beside `--quick`.
        metrics: names that `results.json` must have for each method.
        interrupt: the resumed run is one that was interrupted after so many checkpoints and results were written.
    """

    name: str
    target: str
    quick: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    interrupt: int = 1


EXPERIMENTS = (
    # Without its baseline, which trains for a time, not for a number of epochs.
    Experiment("warcraft", "warcraft", quick=("--no-baseline",), metrics=("exact", "optimal", "seconds", "solves")),
    Experiment("road_network", "roads", metrics=("exact", "optimal", "rank"), interrupt=2),
    Experiment("custom_solver", "custom", metrics=("exact_match", "value"), interrupt=2),
    Experiment("map_demo", "map", ("--gifs", "none"), metrics=("reached", "stays", "wrong"), interrupt=5),
    Experiment(
        "relational_inference",
        "relations",
        ("--method", "rooted,relaxed"),
        ("accuracy", "precision", "recall"),
        interrupt=5,
    ),
    Experiment("maze_planning", "mazes", metrics=("optimal", "walls", "expanded", "saved"), interrupt=5),
    Experiment("parsing", "parsing", metrics=("attachment", "exact"), interrupt=5),
    Experiment("noise_study", "noise", quick=("--method", "exact,score"), metrics=("gap", "found"), interrupt=4),
    Experiment(
        "learning_to_explain",
        "explain",
        quick=("--method", "imle,score"),
        metrics=("subset_precision", "subset_recall", "subset_f1", "random_f1"),
        interrupt=4,
    ),
    Experiment("discrete_vae", "vae", ("--method", "imle,gumbel-softmax"), ("nelbo", "reconstruction"), interrupt=7),
)
