"""A seeded generator of reviews that look like those of beers, with planted words for what is said of each aspect."""

from __future__ import annotations

import random

from examples.learning_to_explain.beer import ASPECTS
from examples.learning_to_explain.texts import Corpus, Text

# What is said of any aspect, from the worst to the best: such a word alone does not tell which aspect it is about.
ANYWHERE = (
    ("awful", "terrible", "horrible"),
    ("poor", "weak", "disappointing"),
    ("average", "okay", "decent"),
    ("good", "nice", "solid"),
    ("excellent", "wonderful", "amazing"),
)
# What is said of one aspect only.
OF_ASPECT = {
    "appearance": (("lifeless", "murky"), ("dull", "patchy"), ("plain", "clear"), ("bright", "creamy"), ("gorgeous",)),
    "aroma": (("skunky", "rancid"), ("faint", "musty"), ("mild", "simple"), ("fragrant", "inviting"), ("heavenly",)),
    "palate": (("watery", "gritty"), ("thin", "flat"), ("medium", "soft"), ("smooth", "crisp"), ("velvety",)),
    "taste": (("foul", "sour"), ("bland", "harsh"), ("sweet", "familiar"), ("tasty", "rich"), ("delicious",)),
}
SAID = 3
"""Words by which a review judges an aspect."""

NOUNS = {
    "appearance": ("head", "colour", "lacing", "look"),
    "aroma": ("aroma", "nose", "smell", "scent"),
    "palate": ("body", "mouthfeel", "carbonation", "texture"),
    "taste": ("taste", "flavor", "finish", "palate"),
}
# {0}, {1}, {2}: what is said; {n}: of what; {x}: something that says nothing.
CLAUSES = (
    "it has a {0} and {1} {n} with {x} , {2} to the end .",
    "the {n} is {0} , even {1} , with {x} , and {2} on the whole .",
    "there is a {0} {n} , {1} all along , and {x} ; {2} for what it is .",
    "{0} {n} here , quite {1} , reminds me of {x} , stays {2} .",
)
NEUTRAL = (
    ("amber", "copper", "malt", "citrus", "pine", "caramel", "toffee", "bread", "grass", "coffee", "cherry", "spice"),
    ("notes", "hints", "touches", "bits", "traces"),
)
FILLERS = (
    "bottle from a {0} shop , drunk from a pint glass .",
    "i had this one {0} with some {1} .",
    "served {0} at the {1} , on tap .",
    "thanks to a {0} friend for the {1} .",
    "best before {0} , so it is a {1} one .",
)
PLACES = (
    ("local", "last night", "cold", "kind", "june"),
    ("cheese", "bar", "bottle", "fresh", "dinner"),
)


def generate(aspect: int, seed: int, train: int, held_out: int) -> Corpus:
    """Reviews of all aspects, of which the rating of one is to be predicted.

    A rating is the mean level of the three words by which the aspect is judged, in quarters, and a little noise; these
    words are highlighted. Aspects are rated independently of each other, so that what is said of others says nothing.

    Args:
        aspect: index in `ASPECTS`.
        seed: of all randomness.
        train: number of reviews to learn from.
        held_out: number of reviews to stop by, and as many to test on.
    """
    rng = random.Random(f"reviews {seed}")
    texts = [_review(ASPECTS[aspect], rng) for _ in range(train + 2 * held_out)]
    test = texts[train + held_out :]
    return Corpus(
        f"generated reviews, {ASPECTS[aspect]}",
        (),
        texts[:train],
        texts[train : train + held_out],
        test,
        test,
        highlights="the planted words",
        planted=True,
    )


def _review(wanted: str, rng: random.Random) -> Text:
    words: list[str] = []
    highlight: set[int] = set()
    target = 0.0
    for aspect in rng.sample(ASPECTS, len(ASPECTS)):
        if rng.random() < 0.5:
            words += rng.choice(FILLERS).format(*(rng.choice(place) for place in PLACES)).split()
        liking = rng.randint(0, 4)
        levels = [min(4, max(0, liking + rng.choice((-1, 0, 0, 1)))) for _ in range(SAID)]
        said = [rng.choice((*ANYWHERE[level], *OF_ASPECT[aspect][level])) for level in levels]
        noun = rng.choice(NOUNS[aspect])
        for slot in rng.choice(CLAUSES).split():
            if aspect == wanted and slot in ("{0}", "{1}", "{2}"):
                highlight.add(len(words))
            words += slot.format(*said, n=noun, x=" of ".join(map(rng.choice, reversed(NEUTRAL)))).split()
        if aspect == wanted:
            target = min(1.0, max(0.0, sum(levels) / (4 * SAID) + rng.gauss(0, 0.02)))
    return Text(tuple(words), target, frozenset(highlight))
