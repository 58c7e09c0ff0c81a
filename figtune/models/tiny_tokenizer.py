"""The vocabulary of the tiny models: a byte-fallback BPE in which common words of the field are one token each."""

from __future__ import annotations

import json
from importlib import resources

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import GemmaTokenizer

_WORDS_FILE = "tiny_words.txt"
_CONTROL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_PRINTABLE = [chr(code) for code in range(33, 127)]
_NEWLINES = ("\n", "\n\n")
_PIECES = 20_000
"""More than the words of the file have: then each word ends up as one token."""


def tiny_tokenizer(markers: dict[str, str]) -> GemmaTokenizer:
    """Gemma's tokenizer class with a vocabulary of a few thousand.

    Args:
        markers: names and texts of image tokens, `{"boi_token": "<start_of_image>", ...}`.
    """
    vocabulary, merges = _vocabulary_and_merges()
    return GemmaTokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # it takes pairs
        add_bos_token=True,
        extra_special_tokens=markers,
    )


def _vocabulary_and_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Control tokens, bytes and newlines first, as in Gemma's own vocabulary, then what is learned from the words."""
    words = resources.files(__package__).joinpath(_WORDS_FILE).read_text(encoding="utf-8").split()
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=_PIECES, min_frequency=1, initial_alphabet=_PRINTABLE, show_progress=False)
    learner.train_from_iterator((f"▁{word}" for word in words), trainer)
    learned = json.loads(learner.to_str())["model"]
    pieces = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    tokens = [*_CONTROL, *_BYTES, *_NEWLINES, *pieces]
    merges = [("\n", "\n"), *((left, right) for left, right in learned["merges"])]
    return {token: index for index, token in enumerate(tokens)}, merges
