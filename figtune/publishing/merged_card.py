"""The card of a merged model: what it is, how far it agrees with the adapter, how to load and to serve it."""

from __future__ import annotations

from pathlib import Path

from figtune.core.io import write_text
from figtune.models.records import CARD_FILE, ModelRecord
from figtune.publishing.agreement import Agreement


def serving_commands(folder: Path | str) -> tuple[str, ...]:
    """What to type to serve a merged model; both answer at /v1/chat/completions."""
    return (f"vllm serve {folder}", f"transformers serve {folder}")


def write_merged_card(folder: Path, record: ModelRecord, agreement: Agreement) -> None:
    """Write `README.md` beside the weights, with the front matter that the Hub reads."""
    base = f"base_model: {record.base}\nbase_model_relation: finetune\n" if record.commit else ""
    quantised = (
        "\n\nThe adapter was trained over a text decoder in 4 bits and is merged into the full weights, which are more "
        "exact than what it was trained over, though not the same."
        if record.adapter.mode == "qlora"
        else ""
    )
    commands = "\n".join(serving_commands("."))
    write_text(
        folder / CARD_FILE,
        f"""---
{base}library_name: transformers
pipeline_tag: image-text-to-text
---

# {record.name}, fine-tuned and merged

Base model and adapter in one, in bfloat16. Merged in float32 and rounded once; read back from the disk, the merged
model was compared with the adapter on the base model: {agreement.sentence}.{quantised}

## Loading

In this folder:

```python
from transformers import AutoModelForImageTextToText, AutoProcessor
model = AutoModelForImageTextToText.from_pretrained(".", dtype="bfloat16").eval()
processor = AutoProcessor.from_pretrained(".")
```

## Serving

In this folder, either of:

```bash
{commands}
```

Both answer at `/v1/chat/completions`. Ask as in training: one message with one picture and one prompt, at
temperature 0. The prompts stand in the data set that the adapter was trained on.
""",
    )
