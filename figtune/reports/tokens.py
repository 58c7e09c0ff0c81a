"""Texts counted in the model's own tokens, where its tokenizer is at hand. Needs `tokenizers` alone, no model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

TokenCounter = Callable[[str], int]


def token_counter(tokenizer_file: Path) -> TokenCounter | None:
    """A function that counts the tokens of a text, without the marks around it; None where no model was set up yet.

    Args:
        tokenizer_file: a `tokenizer.json`.
    """
    if not tokenizer_file.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
