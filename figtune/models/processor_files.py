"""The files of a tokenizer and an image processor, copied from a base model.

Written anew by one version of transformers they do not load in another: transformers 5 writes settings that 4 refuses,
and leaves out `tokenizer.model`, which converters to other formats read. So they are copied unchanged, but for image
settings that were chosen.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figtune.core.io import write_text
from figtune.models.family import REMEDY, Family
from figtune.models.records import CHAT_TEMPLATE_FILE, PROCESSOR_FILES

_IMAGE_FILES = ("preprocessor_config.json", "processor_config.json")
_COPIED = (*_IMAGE_FILES, "chat_template.json", CHAT_TEMPLATE_FILE)


@dataclass(kw_only=True)
class ImageTextProcessor:
    """Tokenizer and image processor of a model whose own processor needs packages for videos."""

    tokenizer: Any = field(repr=False)
    image_processor: Any = field(repr=False)
    chat_template: str | dict[str, str] | None
    folder: Path
    """Folder that it was read from."""

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the files that it was read from into a folder, and a chat template that it was given."""
        target = Path(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(target)
        for name in _COPIED:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, target / name)
        if isinstance(self.chat_template, str) and not (target / CHAT_TEMPLATE_FILE).exists():
            write_text(target / CHAT_TEMPLATE_FILE, self.chat_template)


def copy_processor(
    base: Path, folder: Path, family: Family, image_settings: Mapping[str, bool | int | float] | None = None
) -> None:
    """Copy the files, and add the family's chat template where the base model has none, as pretrained ones have not.

    Servers and trainers give conversations; the template lays them out as in training.

    Args:
        image_settings: settings of the image processor to change, see `Family.image_settings`.

    Raises:
        ResourceError: there is no processor that can be read.
    """
    from figtune.models.quiet import damage_explained

    for name in PROCESSOR_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    if image_settings:
        with damage_explained(f"{base} has no processor that can be read", REMEDY):
            _change_image_settings(folder, image_settings)
    if not family.load_processor(folder).chat_template:
        write_text(folder / CHAT_TEMPLATE_FILE, family.chat_template)


def _change_image_settings(folder: Path, settings: Mapping[str, bool | int | float]) -> None:
    """Change them where they stand: in a file of their own, or among those of the whole processor."""
    for name in _IMAGE_FILES:
        if not (folder / name).is_file():
            continue
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        part = content.get("image_processor") if name == "processor_config.json" else content
        if part is not None:
            part.update(settings)
            write_text(folder / name, json.dumps(content, indent=2) + "\n")
