"""The model card: what was trained on what, how it went, and how to load it."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path

from figtune.examples.records import Example
from figtune.models.recipe import Recipe, TrainingSummary
from figtune.models.records import CARD_FILE, MetricsLine, ModelRecord
from figtune.models.training_data import TrainingExamples
from figtune.pipeline.files import write_text


def write_card(
    output_dir: Path,
    record: ModelRecord,
    recipe: Recipe,
    summary: TrainingSummary,
    examples: TrainingExamples,
    lines: list[MetricsLine],
) -> None:
    """Write `README.md` with the front matter that the Hub reads."""
    sections = (
        _head(record),
        _data(examples, summary),
        _outcome(summary, lines),
        _settings(record, recipe),
        _loading(record),
    )
    write_text(output_dir / CARD_FILE, "\n\n".join(sections) + "\n")


def _head(record: ModelRecord) -> str:
    base = f"base_model: {record.base}\n" if record.commit else ""
    warning = (
        "\n\n**A demo model**: its base has random weights and a small vocabulary, built on the spot to show how the "
        "pipeline works. It knows the pictures that it was trained on, and nothing else."
        if record.tiny
        else ""
    )
    return (
        f"---\n{base}library_name: peft\npipeline_tag: image-text-to-text\n---\n\n"
        f"# {record.name}, fine-tuned on figures of research papers{warning}"
    )


def _data(examples: TrainingExamples, summary: TrainingSummary) -> str:
    rows = [
        f"| {split} | {len(part):,} | {len({example.image_sha256 for example in part}):,} | "
        f"{len({example.group for example in part}):,} | {_tasks(part)} |"
        for split, part in vars(examples).items()
    ]
    table = "\n".join(("| split | examples | figures | papers | tasks |", "|---|---|---|---|---|", *rows))
    return (
        f"## Data\n\n{table}\n\nNo paper is in two of train, val and test; minitrain is a share of train. "
        f"Of the training examples {summary.truncated:,} had a completion cut to fit and {summary.left_out:,} were "
        "left out because their prompt left no room."
    )


def _tasks(examples: list[Example]) -> str:
    counts = Counter(example.task for example in examples)
    return ", ".join(f"{task} {counts[task]:,}" for task in sorted(counts)) or "none"


def _outcome(summary: TrainingSummary, lines: list[MetricsLine]) -> str:
    rows = [
        f"| {line.step:,} | {line.epoch:g} | {_number(line.minitrain_loss)} | {_number(line.val_loss)} |"
        for line in lines
        if line.minitrain_loss is not None or line.val_loss is not None
    ]
    table = "\n".join(("| step | epoch | minitrain loss | val loss |", "|---|---|---|---|", *rows))
    return (
        f"## Training\n\n{_course(summary)} Losses in nats per token of the completion:\n\n{table}\n\n"
        "![losses and learning rate](curves.png)"
    )


def _course(summary: TrainingSummary) -> str:
    stopped = (
        f" of {summary.planned_steps:,} planned, ended since the loss on val had stopped falling"
        if summary.steps < summary.planned_steps
        else ""
    )
    kept = "" if summary.val_loss is None else f" The adapter is that of step {summary.kept_step:,}, the best on val."
    return f"{summary.steps:,} optimizer steps{stopped}.{kept}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _settings(record: ModelRecord, recipe: Recipe) -> str:
    adapter = {f"adapter {field.name}": getattr(record.adapter, field.name) for field in fields(record.adapter)}
    model = {"dtype": record.dtype, "image_fit": record.image_fit, "max_length": record.max_length}
    rows = [
        f"| {name.replace('_', ' ')} | {_shown(value)} |" for name, value in (adapter | model | vars(recipe)).items()
    ]
    return "## Settings\n\n" + "\n".join(("| setting | value |", "|---|---|", *rows))


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _loading(record: ModelRecord) -> str:
    revision = f', revision="{record.commit}"' if record.commit else ""
    return f"""## Loading

In this folder:

```python
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor
base = AutoModelForImageTextToText.from_pretrained("{record.base}"{revision})
model = PeftModel.from_pretrained(base, "adapter").eval()
processor = AutoProcessor.from_pretrained("processor")
```"""
