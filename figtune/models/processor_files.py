"""The files of a tokenizer and an image processor, copied from a base model unchanged.

Written anew by one version of transformers they do not load in another: transformers 5 writes settings that 4 refuses,
and leaves out `tokenizer.model`, which converters to other formats read.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from figtune.core.io import write_text
from figtune.models.family import Family
from figtune.models.records import CHAT_TEMPLATE_FILE, PROCESSOR_FILES


def copy_processor(base: Path, folder: Path, family: Family) -> None:
    """Copy the files, and add the family's chat template where the base model has none, as pretrained ones have not.

    Servers and trainers give conversations; the template lays them out as in training.

    Raises:
        ResourceError: there is no processor that can be read.
    """
    for name in PROCESSOR_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    if not family.load_processor(folder).chat_template:
        write_text(folder / CHAT_TEMPLATE_FILE, family.chat_template)
