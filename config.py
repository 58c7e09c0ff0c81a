"""Every setting of the pipeline, typed and validated, and the presets: the one place where defaults live.

Change a constant below, or pass the flag of the same field, `--train.learning_rate 1e-4`: both do the same.
Order, last wins: defaults < `--preset NAME` or `--config FILE` < flags.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Literal, get_args

from figtune.core import settings
from figtune.core.errors import InputError, UsageError
from figtune.core.settings import check_pair, check_setting
from figtune.dataset.records import Task
from figtune.inference.settings import Decoding
from figtune.models.records import AdapterMode, Dtype, ImageFit, Part
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

Engine = Literal["local", "ray"]
Step = Literal["extract", "prepare", "setup", "train", "test"]
STEPS: tuple[Step, ...] = ("extract", "prepare", "setup", "train", "test")
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class ExtractSettings:
    """How papers are taken apart."""

    dpi: int = 200
    """Resolution of crops, in dots per inch."""
    longest_side: int = 2048
    """Crops are rendered at a lower dpi where their longest side would exceed this, in pixels."""
    timeout_seconds: float = 120.0
    """A PDF that takes longer is recorded as failed."""
    memory_mb: int = 2048
    """A PDF that needs more memory is recorded as failed."""
    engine: Engine = "local"
    """Where papers are read: on this machine, or on a Ray cluster (`pip install -r requirements-cluster.txt`)."""
    ray_address: str = ""
    """HOST:PORT of the cluster, of which this machine must be a node, or auto to find it; left out, Ray starts one here
    for as long as it takes."""

    def __post_init__(self) -> None:
        check_setting(36 <= self.dpi <= 1200, "extract.dpi", "from 36 to 1200")
        check_setting(self.longest_side >= 64, "extract.longest_side", "64 or more")
        check_setting(0 < self.timeout_seconds < inf, "extract.timeout_seconds", "a number above 0")
        check_setting(self.memory_mb >= 256, "extract.memory_mb", "256 or more")
        check_setting(
            re.fullmatch(r"(auto|[^/\s]+:\d{1,5})?", self.ray_address) is not None,
            "extract.ray_address",
            "auto or HOST:PORT",
        )
        check_pair(self.engine == "ray" or not self.ray_address, "extract.ray_address", "with --extract.engine ray")


@dataclass(frozen=True)
class PrepareSettings:
    """Which figures become training examples, and how."""

    tasks: tuple[Task, ...] = TASKS
    """Tasks to make examples for."""
    include_tables: bool = False
    """Make examples of tables too."""
    min_confidence: float = 0.5
    """Figures whose extraction is less sure than this are rejected."""
    min_side_pixels: int = 64
    """Crops with a shorter side are rejected."""
    max_aspect_ratio: float = 8.0
    """Crops whose longer side exceeds the shorter one by more than this factor are rejected."""
    min_ink_share: float = 0.005
    """Crops with a smaller share of pixels that differ from the background are rejected as blank."""
    english_only: bool = True
    """Figures with a caption in another language are rejected."""
    min_words: int = 5
    """Completions with fewer words are rejected."""
    max_words: int = 200
    """Longer completions end at the last sentence that fits."""
    max_context_words: int = 100
    """Longer captions within a prompt end at the last sentence that fits."""
    near_duplicate_bits: int = 16
    """Images whose perceptual hashes, of 256 bits, differ in so many bits at most count as the same."""
    minitrain_examples: int = 100
    """Training examples that are evaluated too, to tell memorised from learned."""
    shard_examples: int = 0
    """Examples of each split are written in files of so many, for tools that read them side by side; 0 for one file."""
    val_fraction: float = 0.1
    """Share of papers for validation during training."""
    test_fraction: float = 0.15
    """Share of papers held out for the test."""
    split_seed: int = SPLIT_SEED
    """Another seed deals the papers to other splits."""

    def __post_init__(self) -> None:
        check_setting(len(self.tasks) > 0, "prepare.tasks", "at least one task")
        check_setting(0 <= self.min_confidence <= 1, "prepare.min_confidence", "from 0 to 1")
        check_setting(self.min_side_pixels >= 1, "prepare.min_side_pixels", "1 or more")
        check_setting(1 <= self.max_aspect_ratio < inf, "prepare.max_aspect_ratio", "1 or more")
        check_setting(0 <= self.min_ink_share < 1, "prepare.min_ink_share", "from 0 to below 1")
        check_setting(self.max_context_words >= 1, "prepare.max_context_words", "1 or more")
        check_setting(0 <= self.near_duplicate_bits < 256, "prepare.near_duplicate_bits", "from 0 to 255")
        check_setting(self.minitrain_examples >= 1, "prepare.minitrain_examples", "1 or more")
        check_setting(self.shard_examples >= 0, "prepare.shard_examples", "0 or more")
        check_setting(1 <= self.min_words <= self.max_words, "prepare.min_words", "from 1 to --prepare.max_words")
        check_setting(0 <= self.val_fraction < 1, "prepare.val_fraction", "from 0 to below 1")
        check_setting(0 <= self.test_fraction < 1, "prepare.test_fraction", "from 0 to below 1")
        check_setting(
            self.val_fraction + self.test_fraction < 1,
            "prepare.val_fraction",
            "small enough to leave papers for training beside --prepare.test_fraction",
        )


@dataclass(frozen=True)
class DataSettings:
    """An image-caption data set as the source of examples, in place of papers."""

    source: str = ""
    """Hub id, folder (saved by `datasets`, Parquet, imagefolder), or a Parquet, JSONL or CSV file; empty for papers."""
    revision: str | None = None
    """Branch, tag or commit of the Hub repository."""
    image_column: str = "image"
    """Images: encoded bytes, or paths relative to the data set's folder."""
    target_column: str = "caption"
    """Texts that the model learns to write."""
    prompt_column: str = ""
    """Texts that ask for them; empty for --data.prompt everywhere."""
    id_column: str = ""
    """What rows of one split share, such as a patient: texts, numbers or dates; empty for the image itself."""
    limit: int = 0
    """Rows to read of each part of the data set, from its beginning, for a quick try; 0 for all."""
    prompt: str = "Describe this image."
    """Asked of rows that have no prompt of their own."""

    def __post_init__(self) -> None:
        check_setting(bool(self.image_column), "data.image_column", "the name of a column")
        check_setting(bool(self.target_column), "data.target_column", "the name of a column")
        check_setting(bool(self.prompt.strip()), "data.prompt", "a text")
        check_setting(self.limit >= 0, "data.limit", "at least 0")


@dataclass(frozen=True)
class ModelSettings:
    """The base model and how it reads an example."""

    name: str = MODEL_NAME
    """Hub id, a local folder in the Hub's layout, or "tiny-gemma3": built on the spot, for demos and tests."""
    revision: str | None = None
    """Branch, tag or commit of the Hub repository."""
    dtype: Dtype = "auto"
    """Of the frozen weights; "auto" is bfloat16 where the device has it, and on older cards 4 bits computed in float32.
    Trained weights are always float32."""
    image_fit: ImageFit = "squash"
    """How a figure becomes the square that the vision encoder sees: with other proportions, as the base models were
    trained, or "letterbox", with white borders."""
    max_length: int = MAX_LENGTH
    """Text tokens of prompt and completion together; image tokens are not counted."""

    def __post_init__(self) -> None:
        check_setting(bool(self.name.strip()), "model.name", "a Hub id or a folder")
        check_setting(self.max_length >= 16, "model.max_length", "16 or more")


@dataclass(frozen=True)
class AdapterSettings:
    """Parameter-efficient fine-tuning: which weights are trained."""

    mode: AdapterMode = "lora"
    """LoRA matrices ("qlora": on a text decoder kept in 4 bits), only the projector between vision encoder and text
    decoder, or every weight ("full")."""
    rank: int = LORA_R
    """Of the LoRA matrices."""
    alpha: int = LORA_ALPHA
    """LoRA scale: updates count alpha / rank."""
    dropout: float = LORA_DROPOUT
    """Dropout before the LoRA matrices."""
    targets: tuple[str, ...] = LORA_TARGET_MODULES
    """Where LoRA matrices go: "decoder", "projector" (trained whole), "vision" (linear layers of the encoder), joined
    with + or spaces, or names of linear layers of the decoder such as q_proj v_proj. Only lora and qlora read it."""
    freeze: tuple[Part, ...] = ()
    """Parts that are not trained: "vision" encoder, "projector", "text" decoder. Needed with --adapter.mode full, where
    every other part is trained; elsewhere it forbids what the targets must not name."""

    def __post_init__(self) -> None:
        check_setting(self.rank >= 1, "adapter.rank", "1 or more")
        check_setting(self.alpha >= 1, "adapter.alpha", "1 or more")
        check_setting(0 <= self.dropout < 1, "adapter.dropout", "from 0 to below 1")
        check_setting(len(self.targets) > 0, "adapter.targets", "at least one name")


with settings.one_line_errors("config.py"):
    TRAIN = TrainSettings(
        epochs=NUM_EPOCHS,
        batch_size=BATCH_SIZE,
        max_batch_tokens=4096,
        gradient_accumulation_steps=GRADIENT_ACCUMULATION_STEPS,
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


@dataclass(frozen=True, kw_only=True)
class TestSettings(Decoding):
    """The evaluation, and answers about single images."""

    batch_size: int
    """Examples per forward pass."""
    bootstrap_samples: int
    """Bootstrap resamples (over papers) for the 95 % intervals."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting(self.batch_size >= 1, "test.batch_size", "1 or more")
        check_setting(self.bootstrap_samples >= 100, "test.bootstrap_samples", "100 or more")


TEST = TestSettings(
    max_new_tokens=256,
    temperature=0.0,
    top_p=1.0,
    seed=0,
    batch_size=8,
    bootstrap_samples=2000,
)


@dataclass(frozen=True)
class Config:
    """Everything the five stages and main.py read."""

    pdf_dir: Path = PDF_DIR
    """Folder with the papers, searched with its subfolders."""
    output_dir: Path = OUTPUT_DIR
    """Where the trained adapter, its curves and its evaluation go."""
    work_dir: Path = WORK_DIR
    """Where content, data set and configured model go."""
    steps: tuple[Step, ...] = STEPS
    """Which stages main.py runs."""
    test_image: Path | None = None
    """An image to be answered about, on stdout, instead of the evaluation; or a paper (PDF) with --figure; or a folder
    of images, which gives one JSON line each."""
    compare: tuple[Path, ...] = ()
    """Output folders whose evaluations test_model.py prints in one table, on stdout, instead of making one."""
    figure: str | None = None
    """Which figure of the paper given with --test_image: 3, or "Table 2"."""
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
    push_to_hub: str | None = None
    """After training, upload what it has left to this repository of the Hub, USER/NAME; a merged model to
    USER/NAME-merged."""
    push_public: bool = False
    """A repository that --push_to_hub creates is for everybody to see, not private."""
    export: Path | None = None
    """prepare_data.py writes the examples into this folder too, as conversations that `datasets` loads."""
    prompt: str | None = None
    """What to ask about --test_image; left out, what --task asks, or --data.prompt where there is a --data.source."""
    task: Task = "caption"
    """What to ask about --test_image where there is no --prompt."""
    preset: str | None = None
    """A named set of settings to start from: demo (sample papers, tiny model, no GPU), gemma3-qlora (papers, Gemma 3 in
    4 bits for small cards), paligemma-brain (brain scans, PaliGemma, only its projector trained), paligemma-brain-lora
    (the same with LoRA)."""
    config: Path | None = None
    """A settings file to start from, such as the config.json beside every result."""
    dry_run: bool = False
    """Print what would be done and why, and write nothing."""
    force: bool = False
    """Do the steps again even where nothing has changed."""
    strict: bool = False
    """Exit with 7 where some input failed, rather than carry on with the rest."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; "auto" takes a CUDA card where there is one."""
    memory: str | None = None
    """What training must fit into, such as 16GB: setup and training stop where it will not, and say what to change.
    Left out, they warn where it will not fit into what is here."""
    workers: int = 0
    """Processes that read papers; 0 is one per CPU core, of the whole cluster with --extract.engine ray."""
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    data: DataSettings = field(default_factory=DataSettings)
    prepare: PrepareSettings = field(default_factory=PrepareSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    train: TrainSettings = TRAIN
    test: TestSettings = TEST

    def __post_init__(self) -> None:
        check_setting(len(self.steps) > 0, "steps", f"one or more of {' '.join(STEPS)}")
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
        """What `extract` makes."""
        return self.work_dir / "content"

    @property
    def dataset_dir(self) -> Path:
        """What `prepare` makes."""
        return self.work_dir / "dataset"

    @property
    def model_dir(self) -> Path:
        """What `setup` makes."""
        return self.work_dir / "model"

    @property
    def tokenizer_file(self) -> Path:
        """Of the model that `setup` has configured, if it has."""
        return self.model_dir / "processor" / "tokenizer.json"

    @property
    def evaluation_dir(self) -> Path:
        """What `test` makes."""
        return self.output_dir / "evaluation"


def _demo() -> Config:
    """The whole pipeline on a laptop CPU in minutes: bundled sample papers, a tiny model with random weights."""
    return Config(
        pdf_dir=Path(__file__).parent / "samples",
        work_dir=Path("work/demo"),
        output_dir=Path("output/demo"),
        prepare=PrepareSettings(minitrain_examples=24, val_fraction=0.0, test_fraction=0.34),
        model=ModelSettings(name="tiny-gemma3", max_length=256),
        adapter=AdapterSettings(rank=32, alpha=32, dropout=0.0, targets=("decoder", "projector")),
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
        data=DataSettings(
            source="gokulsabari/brain-xray",
            target_column="caption",
            id_column="id",
            prompt="Report on this brain scan. Name the imaging modality and the view, then the anatomy that can be "
            "seen. Describe every abnormal finding: where it lies in anatomical terms, roughly what share of the image "
            "it covers, and what it may mean clinically.",
        ),
        # One row in a hundred is more than a thousand, enough to follow the training by.
        prepare=PrepareSettings(val_fraction=0.01, max_words=250),
        model=ModelSettings(name="google/paligemma-3b-pt-224"),
        adapter=AdapterSettings(mode="projector", freeze=("vision", "text")),
        train=replace(TRAIN, epochs=1, learning_rate=2e-5),
    )


def _paligemma_brain_lora() -> Config:
    """The same scans and model, with LoRA in the text decoder in place of the projector."""
    return replace(
        _paligemma_brain(),
        output_dir=Path("output/paligemma-brain-lora"),
        adapter=AdapterSettings(mode="lora", rank=32, alpha=64),
        train=replace(TRAIN, epochs=1, learning_rate=1e-4, scheduler="cosine"),
    )


def _gemma3_qlora() -> Config:
    """Figures of papers on a small card: Gemma 3 4B in 4 bits, one example at a time."""
    return Config(
        work_dir=Path("work/gemma3-qlora"),
        output_dir=Path("output/gemma3-qlora"),
        adapter=AdapterSettings(mode="qlora"),
        train=replace(TRAIN, batch_size=1, gradient_accumulation_steps=16),
        test=replace(TEST, batch_size=4),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "demo": _demo,
    "gemma3-qlora": _gemma3_qlora,
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

    arguments = list(sys.argv[1:] if argv is None else argv)
    base = _base(arguments)
    return tyro.cli(Config, args=arguments, default=base, prog=program, description=description, use_underscores=True)


def _base(arguments: Sequence[str]) -> Config:
    """What the flags change: the defaults, a preset, or a settings file."""
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
    """What was asked of one run is no setting of the next."""
    fresh = Config()
    return replace(
        config,
        steps=fresh.steps,
        test_image=fresh.test_image,
        merge=fresh.merge,
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
