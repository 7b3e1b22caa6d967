"""Models of Hugging Face's `transformers` that score words; from a local folder, or their cache."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from examples.learning_to_explain.encoding import Encoded
from examples.learning_to_explain.texts import Text


class Pieces:
    """Cuts texts into the pieces that a model knows.

    Args:
        name: of the model: a folder, or a name in the cache, or one to be downloaded.

    Raises:
        ValueError: `transformers` is not installed, or there is no such model, or its tokenizer does not say which
            piece is of which word.
    """

    def __init__(self, name: str) -> None:
        self.tokenizer = _load("AutoTokenizer", name)
        if not self.tokenizer.is_fast:
            raise ValueError(f"--encoder bert:{name}: expected a model with a fast tokenizer (tokenizer.json)")

    def cut(self, texts: Sequence[Text], length: int) -> tuple[Tensor, Tensor]:
        """Pieces, (N, P), -1 behind the end; places of the first piece of each word, (N, length), -1 for none.

        Texts are cut off at the most pieces that the model takes; the words behind have none.
        """
        words = [list(text.words[:length]) for text in texts]
        most = min(512, self.tokenizer.model_max_length)
        cut = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=most)
        pieces = torch.full((len(texts), max(map(len, cut["input_ids"]))), -1)
        starts = torch.full((len(texts), length), -1)
        for row, ids in enumerate(cut["input_ids"]):
            pieces[row, : len(ids)] = torch.tensor(ids)
            for place, word in reversed(list(enumerate(cut.word_ids(row)))):
                if word is not None:
                    starts[row, word] = place
        return pieces, starts


class BertScorer(nn.Module):
    """A pretrained model, and a layer that scores words by what it makes of their first pieces.

    Args:
        name: see `Pieces`.

    Raises:
        ValueError: as `Pieces`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = _load("AutoModel", name)
        self.last = nn.Linear(self.body.config.hidden_size, 1)

    def forward(self, texts: Encoded) -> Tensor:
        """Scores, (B, W)."""
        known = texts.pieces >= 0
        seen = self.body(input_ids=texts.pieces.clamp_min(0), attention_mask=known.long()).last_hidden_state
        starts = texts.starts.clamp_min(0).unsqueeze(-1).expand(-1, -1, seen.shape[-1])
        scores: Tensor = self.last(seen.gather(1, starts)).squeeze(-1)
        return scores


def _load(kind: str, name: str) -> Any:
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ValueError(f'--encoder bert:{name} needs transformers: pip install "imle-solvers[hf]"') from error
    try:
        return getattr(transformers, kind).from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:  # what it raises for names, folders and files that are wrong
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"--encoder bert:{name}: expected the folder or the name of a model: {reason}") from error
