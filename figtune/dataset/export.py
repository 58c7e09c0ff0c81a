"""Examples in the form that other trainers read: prompts and completions with images, in Parquet for `datasets`.

One row is `images` (a list of one), `prompt` (a user's turn of image and text) and `completion` (an assistant's turn),
as described at https://huggingface.co/docs/trl/dataset_formats for vision-language models. In two columns rather than
in one conversation, so that trainers take the loss over the completion alone, as figtune does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from figtune.core import commands
from figtune.core.artifacts import read_manifest
from figtune.core.errors import ArtifactMissingError, InputError
from figtune.core.io import atomic_write_dir, write_text
from figtune.core.jsonl import read_json, write_json
from figtune.core.log import progress_bar
from figtune.dataset.records import SPLITS, Example, Split
from figtune.dataset.shards import example_files, stream_examples

logger = logging.getLogger(__name__)

MARK_FILE = "figtune_export.json"
_VERSION = 2
"""Bumped by hand when the columns change: exports are written anew then."""

_NAMES: Mapping[Split, str] = {"train": "train", "val": "validation", "test": "test"}
"""Names of splits in `datasets`."""
_ROW_GROUP = 100
"""Rows, with their images, held at once."""


@dataclass(frozen=True, kw_only=True)
class ExportMark:
    """`figtune_export.json`: the folder is an export, and may be written over by another."""

    schema: Literal[1] = 1
    fingerprint: str
    """Fingerprint of the data set that it was made from, and the version of the columns."""


def export_examples(dataset_dir: Path, folder: Path) -> None:
    """Write `data/train-00000-of-00001.parquet` and so on, unless the folder holds just this data set already.

    Raises:
        ArtifactMissingError: the data set is not there or not finished.
        InputError: the folder holds something that is no export.
    """
    manifest = read_manifest(dataset_dir, commands.PREPARE)
    if manifest is None:
        raise ArtifactMissingError(f"{dataset_dir} is missing or unfinished", f"make it with: {commands.PREPARE}")
    fingerprint = f"{manifest.fingerprint} {_VERSION}"
    if _known_mark(folder) == fingerprint:
        logger.info(f"export: up to date -> {folder}")
        return
    with atomic_write_dir(folder) as temporary:
        for split in SPLITS:
            _write_split(dataset_dir, split, temporary)
        write_text(temporary / "README.md", _CARD)
        write_json(temporary / MARK_FILE, ExportMark(fingerprint=fingerprint))
    logger.info(f"export: done -> {folder}")


def check_export(folder: Path) -> None:
    """See that a folder is new, empty or an earlier export.

    Raises:
        InputError: it holds something else.
    """
    _known_mark(folder)


def _known_mark(folder: Path) -> str | None:
    """Return the mark of the export in the folder; None where there is nothing yet."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / MARK_FILE).is_file():
        raise InputError(f"{folder} holds something else", "give --export a folder that is new or empty")
    return read_json(folder / MARK_FILE, ExportMark, f"{commands.PREPARE} --export {folder}").fingerprint


def _write_split(dataset_dir: Path, split: Split, folder: Path) -> None:
    import datasets
    from pyarrow import Table
    from pyarrow.parquet import ParquetWriter

    text = datasets.Value("string")
    part = {"type": text, "text": text}
    turns = [{"role": text, "content": [part]}]
    columns = {"images": [datasets.Image()], "prompt": turns, "completion": turns}
    schema = datasets.Features(columns | {"example_id": text, "task": text, "source": text}).arrow_schema
    if not any(
        file.stat().st_size for file in example_files(dataset_dir, split)
    ):  # `datasets` cannot load a part without rows.
        return
    path = folder / "data" / f"{_NAMES[split]}-00000-of-00001.parquet"
    path.parent.mkdir(exist_ok=True)
    examples = progress_bar(stream_examples(dataset_dir, split), total=None, title=f"Exporting {split}", unit="example")
    rows = (_row(dataset_dir, example) for example in examples)
    with ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _ROW_GROUP)):
            writer.write_table(Table.from_pylist(group, schema=schema))


def _row(dataset_dir: Path, example: Example) -> dict[str, object]:
    image = dataset_dir / example.image
    asked = [{"type": "image", "text": None}, {"type": "text", "text": example.prompt}]
    answered = [{"type": "text", "text": example.completion}]
    return {
        "images": [{"bytes": image.read_bytes(), "path": image.name}],
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": answered}],
        "example_id": example.example_id,
        "task": example.task,
        "source": example.source,
    }


_CARD = """# Examples as prompts and completions

Made by figtune: `images` has one image, `prompt` a user's turn of image and text, `completion` an assistant's of text.

```python
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer
examples = load_dataset("this/folder")
trainer = SFTTrainer("google/gemma-3-4b-it", args=SFTConfig(max_length=None), train_dataset=examples["train"])
trainer.train()
```

The loss is taken over the completion, as figtune does. `max_length=None`: cut rows would lose image tokens. Pretrained
models have no chat template: give `processing_class` the processor that figtune writes into WORK/model/processor or
OUTPUT/processor, which has one. PaliGemma's processor takes no text without an image, as TRL 1.16 gives it completions.

Images and texts belong to those they come from; their licences decide what may be done with this.
"""
