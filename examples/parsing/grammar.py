"""A small grammar: sentences with the head of each word, as Universal Dependencies would have them.

What a word depends on is ambiguous in the ways of real languages. Where "with" and its noun belong is decided by what
the noun is and what the words before it take; "and" joins what is alike; relative clauses may lack their pronoun; some
words are nouns and verbs; and a clause, or a phrase, that belongs to the subject may come after the verb, so that arcs
cross.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from examples.parsing.lexicon import ADJECTIVES, ADVERBS, DETERMINERS, LOCATIVES, NOUNS, VERBS
from examples.parsing.sentences import Sentence

DEPTH = 2  # of what hangs on nouns
HELD_OUT = 0.25  # share of the pairs of words that only test sentences have
LONGEST = 24


@dataclass(eq=False)
class Word:
    """A word in the making."""

    form: str
    head: Word | None = None


class Phrase(NamedTuple):
    """Words in their order, and the one that the others hang on, directly or not."""

    words: list[Word]
    head: Word


def generate(count: int, seed: int, *, held_out: bool) -> list[Sentence]:
    """Sentences, none of them twice.

    Args:
        count: how many.
        seed: the same seed has the same first sentences for any count.
        held_out: whether every sentence has a phrase with "with" whose noun and what it belongs to are a pair that no
            sentence of the other kind has.
    """
    rng = random.Random(f"{seed} {held_out}")
    found: dict[Sentence, None] = {}
    while len(found) < count:
        sentence = _finish(_clause(rng, DEPTH))
        if len(sentence.words) <= LONGEST and held_out == bool(held_out_pairs(sentence)):
            found[sentence] = None
    return list(found)


def held_out_pairs(sentence: Sentence) -> list[tuple[str, str]]:
    """Nouns after "with", each after the word it belongs to, of the pairs that only held-out sentences have."""
    words, heads = sentence
    nouns = [head for word, head in zip(words, heads, strict=True) if word == "with"]
    pairs = [(words[heads[noun - 1] - 1], words[noun - 1]) for noun in nouns]
    return [pair for pair in pairs if zlib.crc32(" ".join(pair).encode()) % 1000 < 1000 * HELD_OUT]


def _finish(phrase: Phrase) -> Sentence:
    places = {id(word): place for place, word in enumerate(phrase.words, start=1)}
    heads = tuple(0 if word.head is None else places[id(word.head)] for word in phrase.words)
    return Sentence(tuple(word.form for word in phrase.words), heads)


def _noun_phrase(rng: random.Random, kind: str, depth: int) -> Phrase:
    noun = Word(rng.choice(NOUNS[kind]))
    before = []
    if rng.random() < 0.75:
        before.append(Word(rng.choice(DETERMINERS), noun))
    if rng.random() < 0.25:
        before.append(Word(rng.choice(ADJECTIVES), noun))
    if kind in ("thing", "tool") and rng.random() < 0.2:
        before.append(Word(rng.choice(NOUNS["thing"]), noun))
    words = [*before, noun]
    if depth and rng.random() < 0.45:
        words += _modifier(rng, noun, kind, depth)
    if depth and rng.random() < 0.2:
        words += _conjunct(noun, _noun_phrase(rng, kind, depth - 1))
    return Phrase(words, noun)


def _modifier(rng: random.Random, noun: Word, kind: str, depth: int) -> list[Word]:
    """What follows a noun and hangs on it."""
    chance = rng.random()
    if chance < 0.4:
        return _relative_clause(rng, noun, kind, depth - 1)
    if chance < 0.8 and kind == "person":
        return _prepositional(rng, noun, "feature", depth - 1)
    return _prepositional(rng, noun, "place", depth - 1)


def _prepositional(rng: random.Random, head: Word, kind: str, depth: int) -> list[Word]:
    words, noun = _noun_phrase(rng, kind, depth)
    noun.head = head
    return [Word(rng.choice(LOCATIVES) if kind == "place" else "with", noun), *words]


def _conjunct(head: Word, phrase: Phrase) -> list[Word]:
    phrase.head.head = head
    return [Word("and", phrase.head), *phrase.words]


def _relative_clause(rng: random.Random, noun: Word, kind: str, depth: int) -> list[Word]:
    if kind == "person" and rng.random() < 0.5:
        words, verb = _verb_phrase(rng, depth)
        words = [Word("who", verb), *words]
    else:
        words, subject = _noun_phrase(rng, "person", depth)
        verb = Word(rng.choice(VERBS[rng.choice(("action", "feeling"))]))
        subject.head = verb
        words = [*words, verb]
        if rng.random() < 0.5:
            words = [Word("that", verb), *words]
    verb.head = noun
    return words


def _verb_phrase(rng: random.Random, depth: int) -> Phrase:
    kind = rng.choice(("action", "action", "feeling", "staying", *(["saying"] if depth else [])))
    verb = Word(rng.choice(VERBS[kind]))
    words = [verb]
    if rng.random() < 0.15:
        words = [Word(rng.choice(ADVERBS), verb), *words]
    if kind == "saying":
        clause, other = _clause(rng, depth - 1)
        other.head = verb
        return Phrase([*words, *([Word("that", other)] if rng.random() < 0.6 else []), *clause], verb)
    if kind in ("action", "feeling"):
        more, thing = _noun_phrase(rng, rng.choice(("person", "thing")), depth)
        thing.head = verb
        words += more
    if kind in ("action", "staying") and rng.random() < 0.5:
        words += _prepositional(rng, verb, "tool" if kind == "action" else "place", max(depth - 1, 0))
    if rng.random() < 0.15:
        words.append(Word(rng.choice(ADVERBS), verb))
    if depth and rng.random() < 0.15:
        words += _conjunct(verb, _verb_phrase(rng, depth - 1))
    return Phrase(words, verb)


def _clause(rng: random.Random, depth: int) -> Phrase:
    if depth and rng.random() < 0.2:  # what belongs to the subject comes after the verb
        words, subject = _noun_phrase(rng, "person", 0)
        verb = Word(rng.choice(VERBS["staying"]))
        subject.head = verb
        return Phrase([*words, verb, *_modifier(rng, subject, "person", depth)], verb)
    words, subject = _noun_phrase(rng, "person", depth)
    more, verb = _verb_phrase(rng, depth)
    subject.head = verb
    return Phrase([*words, *more], verb)
