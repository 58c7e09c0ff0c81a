"""Every setting of the pipeline, typed and validated, and the presets: the one place where defaults live.

Change a constant below, or pass the flag of the same field, `--train.learning_rate 1e-4`: both do the same.
Order, last wins: defaults < `--preset NAME` or `--config FILE` < flags.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from figtune.core import settings
from figtune.core.errors import InputError, UsageError
from figtune.core.settings import check_pair, check_setting
from figtune.dataset.records import Task
from figtune.dataset.settings import DataSettings, PrepareSettings
from figtune.evaluation.settings import TestSettings
from figtune.extraction.settings import ExtractSettings
from figtune.layout.caption_labels import FIGURE_LABELS, TABLE_LABELS
from figtune.models.records import Quantization
from figtune.models.settings import AdapterSettings, ModelSettings
from figtune.training.memory_budget import parse_size
from figtune.training.settings import TrainSettings

# Where things are
PDF_DIR = Path("papers")
WORK_DIR = Path("work")
OUTPUT_DIR = Path("output")

# What is trained
MODEL_NAME = "google/gemma-3-4b-pt"
LORA_R = 16
LORA_ALPHA = 32
LORA_DROPOUT = 0.05
LORA_TARGET_MODULES = ("decoder",)

# How it is trained
BATCH_SIZE = 4
GRADIENT_ACCUMULATION_STEPS = 4
NUM_EPOCHS = 3
LEARNING_RATE = 2e-4
MAX_LENGTH = 512
SEED = 0

# Which papers are held out
SPLIT_SEED = 0

with settings.one_line_errors("config.py"):
    # Whoever edits a constant writes "samples" for a folder and "q_proj v_proj" for names.
    globals().update(
        settings.constants(
            globals(),
            {
                **dict.fromkeys(("PDF_DIR", "WORK_DIR", "OUTPUT_DIR"), Path),
                **dict.fromkeys(("LORA_R", "LORA_ALPHA", "BATCH_SIZE", "GRADIENT_ACCUMULATION_STEPS"), int),
                **dict.fromkeys(("MAX_LENGTH", "SEED", "SPLIT_SEED"), int),
                **dict.fromkeys(("LORA_DROPOUT", "NUM_EPOCHS", "LEARNING_RATE"), float),
                "MODEL_NAME": str,
                "LORA_TARGET_MODULES": tuple[str, ...],
            },
        )
    )

Step = Literal["extract", "prepare", "setup", "train", "test"]
STEPS: tuple[Step, ...] = ("extract", "prepare", "setup", "train", "test")
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
        learning_rate=LEARNING_RATE,
        scheduler="cosine",
        warmup_fraction=0.03,
        optimizer="adamw",
        weight_decay=0.0,
        max_grad_norm=1.0,
        activation_checkpointing=True,
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


@dataclass(frozen=True)
class Config:
    """Everything the five stages and main.py read."""

    pdf_dir: Path = PDF_DIR
    """Folder with the papers, searched with its subfolders."""
    output_dir: Path = OUTPUT_DIR
    """Folder of the trained adapter, its curves and its evaluation."""
    work_dir: Path = WORK_DIR
    """Folder of content, data set and configured model."""
    steps: tuple[Step, ...] = STEPS
    """Stages that main.py runs."""
    test_image: Path | None = None
    """An image to be answered about, on stdout, instead of the evaluation; or a paper (PDF) with --figure; or a folder
    of images, which gives one JSON line each."""
    compare: tuple[Path, ...] = ()
    """Output folders whose evaluations test_model.py prints in one table, on stdout, instead of making one."""
    figure: str | None = None
    """Figure of the paper given with --test_image: 3, or "Table 2"."""
    answers: Path | None = None
    """A file for the lines about a folder, where an interrupted run carries on; left out, they go to stdout."""
    serve: bool = False
    """Open a page to talk to the model in the browser, instead of the evaluation."""
    serve_host: str = "127.0.0.1"
    """Address the page is served at: this machine alone, or 0.0.0.0 for everybody who can reach it and has the
    password."""
    serve_port: int = 7860
    """Port the page is served at; 0 takes a free one."""
    serve_password: str | None = None
    """Password of the page. Left out, none is asked on this machine alone, and beyond it one made up for the run."""
    merge: bool = False
    """After training, merge base model and adapter into one, in bfloat16, that loads and serves without peft."""
    gguf: Path | None = None
    """After merging, which this asks for too, write GGUF files for llama.cpp and Ollama into OUTPUT/gguf: a folder of
    llama.cpp, whose converter is run; its server, built there or on the PATH, is asked to check them."""
    gguf_quantization: Quantization = "q8_0"
    """Quantization of the text model's GGUF file; below 8 bits it needs llama-quantize, built there or on the PATH."""
    push_to_hub: str | None = None
    """After training, upload what it has left to this repository of the Hub, USER/NAME; a merged model to
    USER/NAME-merged."""
    push_public: bool = False
    """A repository that --push_to_hub creates is for everybody to see, not private."""
    export: Path | None = None
    """prepare_data.py writes the examples into this folder too, as conversations that `datasets` loads."""
    prompt: str | None = None
    """Question about --test_image; left out, what --task asks, or --data.prompt where there is a --data.source."""
    task: Task = "caption"
    """Task asked about --test_image where there is no --prompt."""
    preset: str | None = None
    """A named set of settings to start from: demo (sample papers, tiny model, no GPU), gemma3-qlora (papers, Gemma 3 in
    4 bits for small cards), gemma4 (papers, Gemma 4 E2B), paligemma-brain (brain scans, PaliGemma, only its projector
    trained), paligemma-brain-lora (the same with LoRA)."""
    config: Path | None = None
    """A settings file to start from, such as the config.json beside every result."""
    dry_run: bool = False
    """Print what would be done and why, and write nothing."""
    force: bool = False
    """Do the steps again even where nothing has changed."""
    strict: bool = False
    """Exit with 7 where some input failed, rather than carry on with the rest."""
    quiet: bool = False
    """Log warnings and errors only, and show no progress bars."""
    verbose: bool = False
    """Log debug lines and the messages of libraries too."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that the model runs on; "auto" takes a CUDA card where there is one."""
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
        check_setting(len(self.steps) > 0, "steps", f"one or more of {' '.join(STEPS)}")
        check_pair(not self.quiet or not self.verbose, "quiet", "without --verbose")
        check_setting(self.workers >= 0, "workers", "0 or more")
        if self.memory is not None:
            parse_size(self.memory)
        check_pair(self.push_to_hub is not None or not self.push_public, "push_public", "together with --push_to_hub")
        check_pair(self.test_image is not None or self.prompt is None, "prompt", "together with --test_image")
        check_pair(self.test_image is None or "test" in self.steps, "test_image", "with test among the --steps")
        check_pair(self.test_image is not None or self.figure is None, "figure", "together with --test_image")
        check_pair(self.test_image is not None or self.answers is None, "answers", "together with --test_image")
        check_pair(not self.compare or "test" in self.steps, "compare", "with test among the --steps")
        check_pair(
            not self.compare or (self.test_image is None and not self.serve),
            "compare",
            "without --test_image and --serve",
        )
        check_pair(not self.serve or "test" in self.steps, "serve", "with test among the --steps")
        check_pair(not self.serve or self.test_image is None, "serve", "without --test_image")
        check_setting(bool(self.serve_host.strip()), "serve_host", "an address of this machine")
        check_pair(
            self.output_dir.resolve()
            not in {self.content_dir.resolve(), self.dataset_dir.resolve(), self.model_dir.resolve()},
            "output_dir",
            "as another folder than those that other stages make",
        )
        check_setting(0 <= self.serve_port <= 65_535, "serve_port", "from 0 to 65535")
        check_setting(
            self.serve_password is None or len(self.serve_password) >= 8, "serve_password", "8 characters or more"
        )

    @property
    def content_dir(self) -> Path:
        """Return the folder that `extract` makes."""
        return self.work_dir / "content"

    @property
    def dataset_dir(self) -> Path:
        """Return the folder that `prepare` makes."""
        return self.work_dir / "dataset"

    @property
    def model_dir(self) -> Path:
        """Return the folder that `setup` makes."""
        return self.work_dir / "model"

    @property
    def tokenizer_file(self) -> Path:
        """Return the path of the tokenizer of the model that `setup` configures."""
        return self.model_dir / "processor" / "tokenizer.json"

    @property
    def evaluation_dir(self) -> Path:
        """Return the folder that `test` makes."""
        return self.output_dir / "evaluation"


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


def parse(argv: Sequence[str] | None, program: str, description: str | None) -> Config:
    """The configuration for a command line.

    Args:
        argv: arguments without the program's name; None takes them from `sys.argv`.
        program: the script's name, for `--help`.
        description: what the script does, for `--help`.

    Raises:
        UsageError: unknown preset, or a settings file that cannot be used.
        SystemExit: 0 after `--help`, 2 on a flag or value that does not exist.
    """
    import tyro

    arguments = _without_auto(sys.argv[1:] if argv is None else argv)
    base = _base(arguments)
    return tyro.cli(Config, args=arguments, default=base, prog=program, description=description, use_underscores=True)


def _without_auto(arguments: Sequence[str]) -> list[str]:
    """Write `--train.batch_size auto` as `--train.auto_batch`, which leaves the number that makes up a step."""
    flag_and_value = r"(?<![^\0])--train\.batch[-_]size[=\0]auto(?![^\0])"
    text = re.sub(flag_and_value, "--train.auto_batch", "\0".join(arguments))
    return text.split("\0") if arguments else []


def _base(arguments: Sequence[str]) -> Config:
    """Return the settings that the flags change: the defaults, a preset, or a settings file."""
    first_look = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first_look.add_argument("--preset")
    first_look.add_argument("--config")
    try:
        chosen, _ = first_look.parse_known_args(arguments)
    except argparse.ArgumentError:
        return Config()
    if chosen.preset is not None and chosen.config is not None:
        raise UsageError("--preset and --config exclude each other", "give one of them, and single flags after it")
    if chosen.preset is not None:
        return _preset(chosen.preset)
    if chosen.config is not None:
        return _without_requests(read_config(Path(chosen.config)))
    return Config()


def _without_requests(config: Config) -> Config:
    """Reset what was asked of one run only: it is no setting of the next."""
    fresh = Config()
    return replace(
        config,
        steps=fresh.steps,
        test_image=fresh.test_image,
        test=replace(config.test, server="", server_model=""),
        merge=fresh.merge,
        gguf=fresh.gguf,
        push_to_hub=fresh.push_to_hub,
        push_public=fresh.push_public,
        figure=fresh.figure,
        answers=fresh.answers,
        serve=fresh.serve,
        serve_password=fresh.serve_password,
        compare=fresh.compare,
        prompt=fresh.prompt,
        task=fresh.task,
        dry_run=fresh.dry_run,
        force=fresh.force,
        strict=fresh.strict,
        quiet=fresh.quiet,
        verbose=fresh.verbose,
    )


def _preset(name: str) -> Config:
    if name not in PRESETS:
        raise UsageError(f'there is no preset "{name}"', f"choose from: {', '.join(PRESETS)}")
    return replace(PRESETS[name](), preset=name)


def read_config(path: Path) -> Config:
    """Read a settings file as `figtune.core.settings.encode` writes it.

    Raises:
        InputError: the file cannot be read.
        UsageError: it holds something that is no setting.
    """
    try:
        data = path.read_bytes()
    except OSError as failure:
        raise InputError(f"cannot read {path}: {failure.strerror}", "give a settings file with --config") from None
    return settings.decode(Config(), data, str(path))
