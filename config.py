"""Every setting of the pipeline, typed and validated, and the presets: the one place where defaults live.

Change a constant below, or pass the flag of the same field, `--train.learning_rate 1e-4`: both do the same.
Order, last wins: defaults < `--preset NAME` or `--config FILE` < flags.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from figtune.core import settings
from figtune.core.cli import parse_settings
from figtune.core.settings import Device, check_pair, check_setting
from figtune.dataset.records import Task
from figtune.dataset.settings import PAPER_ONLY_SETTINGS, DataSettings, PrepareSettings
from figtune.evaluation.settings import TestSettings
from figtune.export.post_training import ExportSettings
from figtune.extraction.settings import ExtractSettings
from figtune.inference.settings import AskSettings
from figtune.layout.caption_labels import FIGURE_LABELS, TABLE_LABELS
from figtune.models.lora_targets import targets_of
from figtune.models.records import Quantization
from figtune.models.settings import AdapterSettings, ModelSettings
from figtune.training.memory_budget import parse_size
from figtune.training.settings import TrainSettings, with_auto_batch

logger = logging.getLogger("figtune")

# Where things are
PDF_DIR: Path = Path("papers")
WORK_DIR: Path = Path("work")
OUTPUT_DIR: Path = Path("output")
DECISIONS: Path = Path("decisions.jsonl")

# What is trained
MODEL_NAME: str = "google/gemma-3-4b-pt"
LORA_R: int = 16
LORA_ALPHA: int = 32
LORA_DROPOUT: float = 0.05
LORA_TARGET_MODULES: tuple[str, ...] = ("decoder",)

# How it is trained
BATCH_SIZE: int = 4
GRADIENT_ACCUMULATION_STEPS: int = 4
NUM_EPOCHS: float = 3
LEARNING_RATE: float = 2e-4
MAX_LENGTH: int = 512
SEED: int = 0

# Which papers are held out
SPLIT_SEED: int = 0

with settings.one_line_errors("config.py"):
    # "samples" is taken for a folder, and "q_proj v_proj" for names.
    globals().update(settings.constants(__name__))

Step = Literal["extract", "prepare", "setup", "train", "test"]
STEPS: tuple[Step, ...] = get_args(Step)
TASKS: tuple[Task, ...] = get_args(Task)

with settings.one_line_errors("config.py"):
    EXTRACT = ExtractSettings(
        dpi=200,
        longest_side=2048,
        timeout_seconds=120.0,
        memory_mb=2048,
        ocr="auto",
        ocr_figures=False,
        figure_labels=FIGURE_LABELS,
        table_labels=TABLE_LABELS,
        engine="local",
        ray_address="",
    )
    PREPARE = PrepareSettings(
        tasks=TASKS,
        include_tables=False,
        min_confidence=0.5,
        min_side_pixels=64,
        max_aspect_ratio=8.0,
        min_ink_share=0.005,
        english_only=True,
        min_words=5,
        max_words=200,
        max_context_words=100,
        min_quality=0.5,
        panel_images=True,
        figure_words=False,
        other_captions=False,
        near_duplicate_bits=16,
        minitrain_examples=100,
        shard_examples=0,
        val_fraction=0.1,
        test_fraction=0.15,
        split_seed=SPLIT_SEED,
    )
    DATA = DataSettings(
        source="",
        revision=None,
        image_column="image",
        target_column="caption",
        prompt_column="",
        id_column="",
        limit=0,
        prompt="Describe this image.",
    )
    MODEL = ModelSettings(
        name=MODEL_NAME,
        revision=None,
        dtype="auto",
        image_fit="squash",
        image_tokens=0,
        tiles=0,
        max_length=MAX_LENGTH,
    )
    ADAPTER = AdapterSettings(
        mode="lora",
        rank=LORA_R,
        alpha=LORA_ALPHA,
        dropout=LORA_DROPOUT,
        targets=LORA_TARGET_MODULES,
        freeze=(),
    )
    TRAIN = TrainSettings(
        epochs=NUM_EPOCHS,
        batch_size=BATCH_SIZE,
        max_batch_tokens=4096,
        gradient_accumulation_steps=GRADIENT_ACCUMULATION_STEPS,
        loss_per="token",
        question_share=0.0,
        visual_weight=0.0,
        learning_rate=LEARNING_RATE,
        projector_learning_rate=0.0,
        fit_projector=False,
        scheduler="cosine",
        warmup_fraction=0.03,
        optimizer="adamw",
        weight_decay=0.0,
        max_grad_norm=1.0,
        activation_checkpointing=True,
        auto_checkpointing=True,
        auto_batch=False,
        evaluations=10,
        patience=0,
        answers=4,
        save_total_limit=2,
        trackers=("tensorboard",),
        seed=SEED,
    )
    TEST = TestSettings(
        max_new_tokens=256,
        temperature=0.0,
        top_p=1.0,
        seed=0,
        base_weights="trained",
        batch_size=8,
        bootstrap_samples=2000,
        server="",
        server_model="",
        server_timeout=300.0,
    )


@dataclass(frozen=True, kw_only=True)
class Config(ExportSettings, AskSettings):
    """Everything the five stages and main.py read."""

    pdf_dir: Path = PDF_DIR
    output_dir: Path = OUTPUT_DIR
    work_dir: Path = WORK_DIR
    device: Device = "auto"
    dry_run: bool = False
    force: bool = False
    strict: bool = False
    quiet: bool = False
    verbose: bool = False
    test_image: Path | None = None
    figure: str | None = None
    answers: Path | None = None
    prompt: str | None = None
    task: Task = "caption"
    serve: bool = False
    serve_host: str = "127.0.0.1"
    serve_port: int = 7860
    serve_password: str | None = None
    merge: bool = False
    gguf: Path | None = None
    gguf_quantization: Quantization = "q8_0"
    push_to_hub: str | None = None
    push_public: bool = False
    decisions: Path = DECISIONS
    """File of what a person decides with --review; every preparation applies it. Worth keeping under version
    control."""
    review: bool = False
    """After preparing, open a page to accept, reject and edit examples in the browser; prepare_data.py only."""
    steps: tuple[Step, ...] = STEPS
    """Stages that main.py runs."""
    compare: tuple[Path, ...] = ()
    """Output folders whose evaluations test_model.py prints in one table, on stdout, instead of making one."""
    export: Path | None = None
    """prepare_data.py writes the examples into this folder too, as conversations that `datasets` loads."""
    preset: str | None = None
    """A named set of settings to start from: demo (sample papers, tiny model, no GPU), gemma3-qlora (papers, Gemma 3 in
    4 bits for small cards), gemma4 (papers, Gemma 4 E2B), paligemma-brain (brain scans, PaliGemma, only its projector
    trained), paligemma-brain-lora (the same with LoRA)."""
    config: Path | None = None
    """A settings file to start from, such as the config.json beside every result."""
    memory: str | None = None
    """Memory that training must fit into, such as 16GB: setup and training stop where it does not, and say what to
    change. Left out, they warn where it does not fit into what is here."""
    workers: int = 0
    """Processes that read papers; 0 is one per CPU core, of the whole cluster with --extract.engine ray."""
    extract: ExtractSettings = EXTRACT
    data: DataSettings = DATA
    prepare: PrepareSettings = PREPARE
    model: ModelSettings = MODEL
    adapter: AdapterSettings = ADAPTER
    train: TrainSettings = TRAIN
    test: TestSettings = TEST

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting(len(self.steps) > 0, "steps", f"one or more of {' '.join(STEPS)}")
        check_setting(self.workers >= 0, "workers", "0 or more")
        if self.memory is not None:
            parse_size(self.memory)
        of_testing = {"test_image": self.test_image is not None, "compare": bool(self.compare), "serve": self.serve}
        for name, asked in of_testing.items():
            check_pair(not asked or "test" in self.steps, name, "with test among the --steps")
        alone = self.test_image is None and not self.serve
        check_pair(not self.compare or alone, "compare", "without --test_image and --serve")
        check_pair(not self.review or not self.serve, "review", "without --serve")
        trains_projector = not self.train.fit_projector or "projector" in targets_of(self.adapter).parts
        check_pair(trains_projector, "train.fit_projector", "with projector among the --adapter.targets")


def _demo() -> Config:
    """The whole pipeline on a laptop CPU in minutes: bundled sample papers, a tiny model with random weights."""
    return Config(
        pdf_dir=Path(__file__).parent / "samples",
        work_dir=Path("work/demo"),
        output_dir=Path("output/demo"),
        prepare=replace(PREPARE, minitrain_examples=24, val_fraction=0.0, test_fraction=0.34),
        model=replace(MODEL, name="tiny-gemma3", max_length=256),
        adapter=replace(ADAPTER, rank=32, alpha=32, dropout=0.0, targets=("decoder", "projector")),
        train=replace(
            TRAIN,
            epochs=40,
            batch_size=16,
            gradient_accumulation_steps=1,
            learning_rate=6e-3,
            activation_checkpointing=False,
        ),
        test=replace(TEST, batch_size=16, max_new_tokens=192),
    )


def _paligemma_brain() -> Config:
    """Brain scans with reports, PaliGemma, only the projector between its two halves trained."""
    return Config(
        work_dir=Path("work/paligemma-brain"),
        output_dir=Path("output/paligemma-brain"),
        data=replace(
            DATA,
            source="gokulsabari/brain-xray",
            target_column="caption",
            id_column="id",
            prompt="Report on this brain scan. Name the imaging modality and the view, then the anatomy that can be "
            "seen. Describe every abnormal finding: where it lies in anatomical terms, roughly what share of the image "
            "it covers, and what it may mean clinically.",
        ),
        # One row in a hundred is more than a thousand, enough to follow the training by.
        prepare=replace(PREPARE, val_fraction=0.01, max_words=250),
        model=replace(MODEL, name="google/paligemma-3b-pt-224"),
        adapter=replace(ADAPTER, mode="projector", freeze=("vision", "text")),
        train=replace(TRAIN, epochs=1, learning_rate=2e-5),
    )


def _paligemma_brain_lora() -> Config:
    """The same scans and model, with LoRA in the text decoder in place of the projector."""
    return replace(
        _paligemma_brain(),
        output_dir=Path("output/paligemma-brain-lora"),
        adapter=replace(ADAPTER, mode="lora", rank=32, alpha=64),
        train=replace(TRAIN, epochs=1, learning_rate=1e-4, scheduler="cosine"),
    )


def _gemma3_qlora() -> Config:
    """Figures of papers on a small card: Gemma 3 4B in 4 bits, one example at a time."""
    return Config(
        work_dir=Path("work/gemma3-qlora"),
        output_dir=Path("output/gemma3-qlora"),
        adapter=replace(ADAPTER, mode="qlora"),
        train=replace(TRAIN, batch_size=1, gradient_accumulation_steps=16),
        test=replace(TEST, batch_size=4),
    )


def _gemma4() -> Config:
    """Figures of papers, Gemma 4 E2B with LoRA: figures keep their proportions, in at most 280 image tokens."""
    return Config(
        work_dir=Path("work/gemma4"),
        output_dir=Path("output/gemma4"),
        model=replace(MODEL, name="google/gemma-4-E2B", image_tokens=280),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "demo": _demo,
    "gemma3-qlora": _gemma3_qlora,
    "gemma4": _gemma4,
    "paligemma-brain": _paligemma_brain,
    "paligemma-brain-lora": _paligemma_brain_lora,
}


ONE_RUN_ONLY = (
    *("steps", "dry_run", "force", "strict", "quiet", "verbose", "review", "compare", "merge", "gguf", "push_to_hub"),
    *("push_public", "test_image", "figure", "answers", "prompt", "task", "serve", "serve_password"),
    *("test.server", "test.server_model"),
)
"""Settings that hold for one run: a settings file gives them to no other."""


def parse(argv: Sequence[str] | None, program: str, description: str | None) -> Config:
    """Return the configuration of a command line; see `parse_settings`. Settings without effect are logged."""
    arguments = with_auto_batch(sys.argv[1:] if argv is None else argv)
    config = parse_settings(arguments, program, description, Config(), PRESETS, ONE_RUN_ONLY)
    for name, wanted in without_effect(config):
        logger.warning(f"--{name} is read only {wanted}: here it changes nothing")
    return config


def without_effect(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the settings that differ from the constants and are not read, each with what they are read with."""
    of_lora = ("adapter.rank", "adapter.alpha", "adapter.dropout", "adapter.targets")
    of_data = tuple(name for name in settings.flatten(DATA, "data.") if name != "data.source")
    of_papers = tuple(f"prepare.{name}" for name in sorted(PAPER_ONLY_SETTINGS))
    given, constants = settings.flatten(config), settings.flatten(Config())
    for names, is_read, wanted in (
        (of_data, bool(config.data.source), "with --data.source"),
        (of_papers, not config.data.source, "of papers, without --data.source"),
        (of_lora, config.adapter.mode in ("lora", "qlora"), "with --adapter.mode lora or qlora"),
        (("test.top_p", "test.seed"), config.test.temperature > 0, "with --test.temperature above 0"),
    ):
        if not is_read:
            yield from ((name, wanted) for name in names if given[name] != constants[name])
