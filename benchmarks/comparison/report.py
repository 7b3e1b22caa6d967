"""The measurements as text, as Markdown for docs/benchmarks.md, and as a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from comparison.problem import OURS

_MARKERS = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)


def text(results: dict[str, Any]) -> str:
    """Tables to print."""
    lines = []
    if results["rows"]:
        lines.append(f"{'':26}{'ms a step':>11}{'on':>11}{'x ours':>9}{'step MB':>10}{'all MB':>9}")
    for row in results["rows"]:
        lines += ["", f"{row['title']}", f"  {verdict(row)}"]
        for each in row["contenders"]:
            on = f"{each['on']} of {row['batch']}"
            lines.append(
                f"  {each['name']:24}{each['milliseconds']:11.2f}{on:>11}{each['times']:9.1f}"
                f"{_megabytes(each, 'step_mb'):>10}{_megabytes(each, 'all_mb'):>9}"
            )
    for series in results["growth"]:
        lines += ["", f"growth with the {series['title']}: {_growth(series)}"]
        lines.append(f"  {'size':>10}{'ms a step':>12}{'step MB':>10}{'x (S theta)':>13}")
        lines += [
            f"  {point['size']:10}{point['milliseconds']:12.2f}{point['step_mb']:10.1f}{point['copies']:13.1f}"
            for point in series["points"]
        ]
    return "\n".join(lines)


def verdict(row: dict[str, Any]) -> str:
    """The row's figure, its target, and whether it is met."""
    met = "met" if row["met"] else "MISSED"
    if row["at_most"]:
        line = (
            f"{row['ratio']:.2f} times the time of the loop of solves over the cores, target at most {row['target']:g}"
        )
    else:
        line = f"{_figure(row['ratio'])} times as fast, target {row['target']:g}"
    skipped = "" if row["skipped"] is None else f"; {row['skipped']:.0%} of solves skipped"
    return f"{line}: {met}{skipped}"


def markdown(results: dict[str, Any]) -> str:
    """The tables of docs/benchmarks.md."""
    lines = [
        "| forward + backward | against | ms a step, ours / theirs | times as fast | target | step MB, ours / theirs |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        by_name = {each["name"]: each for each in row["contenders"]}
        own = by_name[OURS]
        other = min((by_name[name] for name in row["against"]), key=lambda each: float(each["milliseconds"]))
        part = "" if other["on"] == row["batch"] else f" ({other['on']} of {row['batch']} instances measured)"
        figure, target = _figure(row["ratio"]), f"{row['target']:g}"
        if row["at_most"]:
            figure, target = f"{row['ratio']:.2f} x its time / cores", f"at most {target}"
        milliseconds = f"{_figure(own['milliseconds'])} / {_figure(other['milliseconds'])}"
        lines.append(
            f"| {row['title']} | {other['name']}{part} | {milliseconds} "
            f"| {figure} | {target} | {_megabytes(own, 'step_mb')} / {_megabytes(other, 'step_mb')} |"
        )
    if results["growth"]:
        lines += ["", "| growth | sizes | time ~ size^ | memory ~ size^ | largest: ms, MB, copies of S theta |"]
        lines.append("|---|---|---|---|---|")
    for series in results["growth"]:
        first, last = series["points"][0], series["points"][-1]
        lines.append(
            f"| {series['title']} | {first['size']} to {last['size']} | {series['time_exponent']:.2f} "
            f"| {_exponent(series['memory_exponent'])} "
            f"| {_figure(last['milliseconds'])}, {last['step_mb']:.3g}, {last['copies']:.1f} |"
        )
    machine = results["machine"]
    lines += [
        "",
        f"{machine['cores']} cores, {machine['cpu']}, {machine['date']}, {results['threads']} of torch's threads. "
        "Times of part of a batch are scaled up to all of it; memory is above that of a step on one instance, with a "
        "star of a part of the batch.",
    ]
    return "\n".join(lines)


def write_page(path: Path, results: dict[str, Any]) -> None:
    """Puts the table between its markers.

    Raises:
        SystemExit: the file has no markers.
    """
    page = path.read_text()
    if not _MARKERS.search(page):
        raise SystemExit(f"{path}: expected a line <!-- bench --> and a line <!-- /bench -->, which hold the table")
    path.write_text(_MARKERS.sub(lambda found: f"{found[1]}{markdown(results)}\n{found[2]}", page))


def write_chart(path: Path, results: dict[str, Any]) -> None:
    """A bar for each contender, how many times longer than ours it takes, and a mark for each target."""
    from matplotlib.figure import Figure

    bars = [
        (row, each, row["title"] if first == 1 else "")
        for row in results["rows"]
        for first, each in enumerate(row["contenders"])
        if each["name"] != OURS
    ]
    figure = Figure(figsize=(11, 1.2 + 0.36 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    for position, (row, each, _) in enumerate(bars):
        judged = each["name"] in row["against"]
        axes.barh(position, each["times"], color="tab:blue" if judged else "lightsteelblue", log=True)
        axes.text(each["times"], position, f" {_figure(each['times'])}", va="center", fontsize=8)
        if judged:
            # For solves that are shared by the cores: how many times the whole of them should take longer.
            mark = results["machine"]["cores"] / row["target"] if row["at_most"] else row["target"]
            axes.plot([mark, mark], [position - 0.45, position + 0.45], color="tab:red", linewidth=2)
    labels = [f"{title}\n{each['name']}" if title else each["name"] for _, each, title in bars]
    axes.set_yticks(range(len(bars)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("times longer than imle-solvers takes; red: target")
    figure.savefig(path, dpi=120)


def _growth(series: dict[str, Any]) -> str:
    return (
        f"time ~ size^{series['time_exponent']:.2f} (the solver's own: {series['expected']:g}), "
        f"memory ~ size^{_exponent(series['memory_exponent'])}"
    )


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _exponent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _megabytes(each: dict[str, Any], key: str) -> str:
    if key not in each:
        return "-"
    part = "*" if each["memory_on"] < each["memory_batch"] else ""
    return f"{each[key]:.1f}{part}"
