"""The model card: training data, outcome, settings, and how to load the adapter."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

from figtune.batching.dataset import DatasetSplits
from figtune.core.io import write_text
from figtune.core.number_format import count
from figtune.dataset.records import CUSTOM_TASK, Example
from figtune.models.families import family_of
from figtune.models.family import Family
from figtune.models.lora_targets import trains_vision
from figtune.models.records import CARD_FILE, MetricsLine, ModelRecord
from figtune.models.usage_code import usage_code
from figtune.training.outputs import TrainingSummary
from figtune.training.settings import TrainSettings

_OF_EVERY_MODE = ("mode", "freeze")
"""Adapter settings of every mode; the others are about LoRA matrices."""

_LEAST_LORA = "Needs transformers 4.57 or later and peft 0.21 or later; older ones were not tried."
_LEAST_FULL = "Needs transformers 5 or later: older ones name weights differently, and the assertion refuses them."
_LEAST_UNTRIED = "Tried with transformers 5 and peft 0.21; older ones were not."
_NOT_FITTED = (
    "In training and in test_model.py images get white borders up to whole tiles or patches. Without them they are "
    "stretched a little, and answers can differ."
)
_FOUR_BITS = (
    "The adapter was trained, and the losses above were taken, over a text decoder in 4 bits. Without the quantization "
    "the base model is loaded whole, and the answers are not quite the same: test_model.py --test.base_weights full "
    "evaluates that, and the report says which of the two it is about."
)
_VISION_LORA = (
    "The vision encoder has LoRA matrices too: vLLM applies them only with --enable-tower-connector-lora, which was "
    "not tried; the merged model has them in its weights."
)


@dataclass(frozen=True, kw_only=True)
class CardTerms:
    """Terms of a card for one kind of data."""

    title: str
    images: str
    groups: str
    separation: str
    """Sentence on the separation of the splits."""


OF_PAPERS = CardTerms(
    title="figures of research papers",
    images="figures",
    groups="papers",
    separation="No paper is in two of train, val and test",
)
OF_A_DATA_SET = CardTerms(
    title="images with texts",
    images="images",
    groups="groups",
    separation="No group, rows that share an id or an image, is in two of train, val and test",
)


def write_card(
    output_dir: Path,
    record: ModelRecord,
    settings: TrainSettings,
    summary: TrainingSummary,
    examples: DatasetSplits,
    lines: list[MetricsLine],
) -> None:
    """Write `README.md` with the front matter that the Hub reads."""
    terms = OF_A_DATA_SET if examples.train[0].task == CUSTOM_TASK else OF_PAPERS
    sections = (
        _head(record, terms),
        _data(examples, summary, terms),
        _outcome(summary, lines),
        _settings(record, settings),
        _loading(record),
    )
    write_text(output_dir / CARD_FILE, "\n\n".join(sections) + "\n")


def _head(record: ModelRecord, terms: CardTerms) -> str:
    base = f"base_model: {record.base}\n" if record.commit else ""
    warning = (
        "\n\n**A demo model**: its base has random weights and a small vocabulary, built on the spot to show how the "
        "pipeline works. It knows the pictures that it was trained on, and nothing else."
        if record.tiny
        else ""
    )
    library = "transformers" if record.adapter.mode == "full" else "peft"
    return (
        f"---\n{base}library_name: {library}\npipeline_tag: image-text-to-text\n---\n\n"
        f"# {record.title}, fine-tuned on {terms.title}{warning}"
    )


def _data(examples: DatasetSplits, summary: TrainingSummary, terms: CardTerms) -> str:
    rows = [
        f"| {split} | {len(part):,} | {len({example.image_sha256 for example in part}):,} | "
        f"{len({example.group for example in part}):,} | {_tasks(part)} |"
        for split, part in vars(examples).items()
    ]
    head = f"| split | examples | {terms.images} | {terms.groups} | tasks |"
    table = "\n".join((head, "|---|---|---|---|---|", *rows))
    return (
        f"## Data\n\n{table}\n\n{terms.separation}; minitrain is a share of train. "
        f"Of the training examples {summary.truncated:,} had a completion cut to fit and {summary.left_out:,} were "
        "left out because their prompt left no budget."
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
        f"## Training\n\n{_steps_sentence(summary)} Losses in nats per token of the completion:\n\n{table}\n\n"
        "![losses and learning rate](curves.png)"
    )


def _steps_sentence(summary: TrainingSummary) -> str:
    stopped = (
        f" of {summary.planned_steps:,} planned, ended since the loss on val had stopped falling"
        if summary.steps < summary.planned_steps
        else ""
    )
    kept = "" if summary.val_loss is None else f" The adapter is that of step {summary.kept_step:,}, the best on val."
    return f"{count(summary.steps, 'optimizer steps')}{stopped}.{kept}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _settings(record: ModelRecord, settings: TrainSettings) -> str:
    names = [
        field.name
        for field in fields(record.adapter)
        if record.adapter.mode in ("lora", "qlora") or field.name in _OF_EVERY_MODE
    ]
    adapter = {f"adapter {name}": getattr(record.adapter, name) for name in names}
    model: dict[str, object] = {"dtype": record.dtype, "image_fit": record.image_fit, "max_length": record.max_length}
    if record.image_tokens:
        model["image_tokens"] = record.image_tokens
    if record.tiles:
        model["tiles"] = record.tiles
    run = {name: value for name, value in vars(settings).items() if name != "trackers"}
    rows = [f"| {name.replace('_', ' ')} | {_cell(value)} |" for name, value in (adapter | model | run).items()]
    return "## Settings\n\n" + "\n".join(("| setting | value |", "|---|---|", *rows))


def _cell(value: object) -> str:
    return (" ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _loading(record: ModelRecord) -> str:
    """Return the code that asks the model in plain transformers, and the versions that it is right in."""
    family = family_of(record.family, record.name)
    needed = (
        f"; its processor needs `pip install {' '.join(packages)}`" if (packages := family.processor_packages) else ""
    )
    notes = [_least_versions(record, family)]
    if record.adapter.mode == "qlora":
        notes.append(_FOUR_BITS)
    if record.adapter.mode != "full" and trains_vision(record.adapter):
        notes.append(_VISION_LORA)
    if (family.tokens_vary or record.tiles) and record.image_fit == "letterbox":
        notes.append(_NOT_FITTED)
    return f"## Loading\n\nIn this folder{needed}:\n\n```python\n{usage_code(record)}\n```\n\n{' '.join(notes)}"


def _least_versions(record: ModelRecord, family: Family) -> str:
    if record.adapter.mode == "full":
        return _LEAST_FULL
    return _LEAST_UNTRIED if family.tokens_vary else _LEAST_LORA
