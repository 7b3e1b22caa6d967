"""Annotated texts as one page of HTML that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from examples.common.files import write_whole
from examples.learning_to_explain.texts import Text


@dataclass(frozen=True)
class Explained:
    """A text, the words that were chosen of it, and what was predicted from them.

    Attributes:
        text: with highlights.
        chosen: indices of words.
        predicted, true: as they are to be shown.
        wrong: whether the prediction is a wrong class.
    """

    text: Text
    chosen: frozenset[int]
    predicted: str
    true: str
    wrong: bool = False

    @property
    def agreement(self) -> float:
        """F1 of chosen against highlighted words."""
        human = self.text.highlight or frozenset()
        both = len(self.chosen & human)
        return 2 * both / (len(self.chosen) + len(human)) if both else 0.0


def write_page(
    file: Path,
    title: str,
    summary: str,
    explained: Sequence[Explained],
    shown: int,
    *,
    planted: bool = False,
    rated: bool = False,
) -> None:
    """Writes the page: texts sorted by agreement, the best first; of more than `shown` some of all degrees.

    Args:
        file: to write.
        title, summary: above the texts, in plain text.
        explained: the texts.
        shown: how many to show, at most.
        planted: whether highlights are not people's, but words that a generator planted.
        rated: whether predictions are numbers, of which none is struck out.
    """
    ordered = sorted(explained, key=lambda one: (-one.agreement, one.text.words))
    count = min(shown, len(ordered))
    picked = [ordered[number * (len(ordered) - 1) // max(1, count - 1)] for number in range(count)]
    if count < len(ordered):
        summary += f" {count} of {len(ordered)} texts are shown, of all degrees of agreement."
    cards = "\n".join(map(_card, picked))
    page = _PAGE.substitute(
        title=html.escape(title),
        summary=html.escape(summary),
        both="chosen by the machine, and planted" if planted else "chosen by both",
        machine="by the machine alone" if planted else "by the machine",
        human="planted, not chosen" if planted else "by people",
        wrong="" if rated else '\n<span><em class="wrong">struck out</em> predicted wrongly</span>',
        cards=cards,
    )
    write_whole(file, lambda path: path.write_text(page, encoding="utf-8"))


def _card(one: Explained) -> str:
    wrong = ' class="wrong"' if one.wrong else ""
    head = (
        f"<header><b>{one.agreement:.0%}</b> agreement <span>predicted <em{wrong}>{html.escape(one.predicted)}</em>"
        f", true <em>{html.escape(one.true)}</em></span></header>"
    )
    sentences = [range(one.text.second), range(one.text.second, len(one.text.words))]
    body = "".join(f"<p>{_words(one, places)}</p>" for places in sentences if places)
    return f"<article>{head}{body}</article>"


def _words(one: Explained, places: range) -> str:
    human = one.text.highlight or frozenset()
    kinds = {(True, False): "m", (False, True): "h", (True, True): "b"}
    pieces = []
    for place in places:
        word, kind = html.escape(one.text.words[place]), kinds.get((place in one.chosen, place in human))
        pieces.append(f'<mark class="{kind}">{word}</mark>' if kind else word)
    return " ".join(pieces)


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.7 system-ui, sans-serif; color: #222; background: #f4f4f2; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; text-wrap: balance; }
.legend { position: sticky; top: 0; padding: .6rem 0; background: #f4f4f2; border-bottom: 1px solid #d5d5d0;
  display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: .9rem; }
article { background: #fff; border: 1px solid #e0e0dc; border-radius: 8px; padding: .7rem 1rem; margin: 1rem 0; }
header { font-size: .85rem; color: #555; display: flex; flex-wrap: wrap; gap: 0 .5rem; }
header span { margin-left: auto; }
em { font-style: normal; font-weight: 600; color: #222; }
em.wrong { text-decoration: line-through; }
p { margin: .35rem 0; overflow-wrap: break-word; }
mark { padding: .05em .25em; border-radius: 4px; color: #fff; }
.m { background: #c62828; }
.h { background: #1565c0; }
.b { background: #7b1fa2; font-weight: 600; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p>$summary</p>
<div class="legend">
<span><mark class="b">purple</mark> $both</span>
<span><mark class="m">red</mark> $machine</span>
<span><mark class="h">blue</mark> $human</span>$wrong
</div>
$cards
</main>
</body>
</html>
""")
