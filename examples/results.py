"""Makes docs/results.md of the results that are stored in docs/results, and stores those of further runs.

python -m examples.results                             # makes the page
python -m examples.results runs/warcraft               # stores a run and its pictures, and makes the page
python -m examples.results runs/warcraft --name real   # under another name than the experiment's
"""

from __future__ import annotations

import argparse
import re
import shutil
from dataclasses import replace
from pathlib import Path

from examples.common.machine import in_words
from examples.common.results import FILE, Published, Results, read_results, write_results
from examples.common.tables import cell, markdown, table

DOCS = Path(__file__).resolve().parents[1] / "docs"

HEAD = """\
# Results

What the experiments came to, a section for each stored run. `make results` makes this page of the files in
`docs/results`. Tables have means over seeds and, of several, standard deviations. A published figure stands beside them
with its source; it can be compared where its set-up is the same, and the table says where that is not so.
"""


def page(stored: dict[str, Results]) -> str:
    """The page, from results by the names of their files."""
    sections = [_section(name, stored[name]) for name in sorted(stored)]
    return "\n\n".join([HEAD.strip(), *sections]) + "\n"


def read_stored(folder: Path) -> dict[str, Results]:
    """All stored results, by their names.

    Raises:
        ValueError: a file is not what `store` left.
    """
    return {file.stem: read_results(file) for file in sorted(folder.glob("*.json"))}


def store(run: Path, folder: Path, name: str = "") -> str:
    """Copies the results of a run and its pictures to a folder, without curves; returns their name there.

    Raises:
        FileNotFoundError: the run, or a picture of it, is not there.
        ValueError: its results are not what a run leaves.
    """
    results = read_results(run / FILE)
    name = name or results.experiment
    pictures = {}
    for picture in results.pictures:
        if not (run / picture).is_file():
            raise FileNotFoundError(f"expected {picture}, which {run / FILE} names, found nothing at {run / picture}")
        pictures[picture] = picture if Path(picture).stem == name else f"{name}-{picture}"
    folder.mkdir(parents=True, exist_ok=True)
    for picture, stored in pictures.items():
        shutil.copyfile(run / picture, folder / stored)
    rows = [replace(row, curves={}) for row in results.rows]
    write_results(folder, replace(results, rows=rows, pictures=list(pictures.values())), f"{name}.json")
    return name


def _section(name: str, results: Results) -> str:
    seeds = sorted({row.seed for row in results.rows})
    said = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    parts = [
        f"## {results.title}",
        results.about,
        f"`{results.command}`; {said}; {results.date}; {in_words(results.machine)}.",
        table(results),
    ]
    if results.published:
        parts.append(_published(results))
    parts += [_shown(picture, results.title) for picture in results.pictures]
    return "\n\n".join(part for part in parts if part)


def _published(results: Results) -> str:
    """The published figures, those of the same set-up with ours beside them."""
    columns = {
        name: column
        for name, column in results.columns.items()
        if any(name in published.metrics for published in results.published)
    }
    head = ["published", *(column.title for column in columns.values()), "source", "set-up"]
    rows = [
        [
            published.method,
            *(_beside(results, published, name) for name in columns),
            published.source,
            f"not the same: {published.differs}" if published.differs else "the same",
        ]
        for published in results.published
    ]
    return markdown(head, [(row[0], row[1:]) for row in rows])


def _beside(results: Results, published: Published, name: str) -> str:
    if name not in published.metrics:
        return "-"
    column = results.columns[name]
    theirs = cell([published.metrics[name]], column)
    ours = results.values(published.method, name)
    return f"{theirs} (here {cell(ours, column)})" if ours else theirs


def _shown(picture: str, title: str) -> str:
    image = re.search(r"\.(png|gif|jpe?g|svg)$", picture)
    return f"![{title}](results/{picture})" if image else f"[{picture}](results/{picture})"


def main() -> None:
    """Stores runs, and makes the page."""
    parser = argparse.ArgumentParser(
        prog="examples.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folder of a run, such as runs/warcraft")
    parser.add_argument("--name", default="", help="of the stored run; default: the experiment's")
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="DIR", help="folder of the page; default docs")
    options = parser.parse_args()
    if options.name and (len(options.runs) != 1 or not re.fullmatch(r"[\w-]+", options.name)):
        parser.exit(2, "examples.results: error: --name takes letters, digits, _ and -, and a single run\n")
    try:
        for run in options.runs:
            print(f"stored: {store(run, options.docs / 'results', options.name)}")
        text = page(read_stored(options.docs / "results"))
    except (OSError, ValueError) as error:
        parser.exit(2, f"examples.results: error: {error}\n")
    (options.docs / "results.md").write_text(text, encoding="utf-8")
    print(f"page: {options.docs / 'results.md'}")


if __name__ == "__main__":
    main()
