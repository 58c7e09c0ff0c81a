"""Stage 4: fine-tune the configured model on the training examples.

Reads WORK/dataset and WORK/model; writes OUTPUT: adapter/, processor/, model.json, config.json, metrics.jsonl,
answers.jsonl, curves.png and README.md (a model card); tensorboard/ beside them is for watching. Carries on from its
last checkpoint if it was interrupted.

    python train_model.py
    python train_model.py --train.epochs 5 --train.learning_rate 1e-4
    python train_model.py --merge --push_to_hub USER/NAME
    python train_model.py --gguf ../llama.cpp
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from config import Config, parse
from figtune.core import commands
from figtune.core.artifacts import Dependency, Stage
from figtune.core.cli import StageScript, run_cli, run_stages
from figtune.core.distributed import is_rank_zero, run_distributed
from figtune.core.io import write_bytes
from figtune.core.settings import encode, flatten
from figtune.core.stages import StageResult, StageSummary, run_if_stale
from figtune.core.upstream import RESULT_SETTINGS_FILE, with_upstream_settings
from figtune.export.post_training import post_training_stages
from figtune.models.availability import check_base, check_launch_and_device

SCRIPT_FILE = "train_model.py"

_WATCHING = "train.trackers"
"""Changes nothing of what is made."""


def describe(config: Config) -> Stage:
    """Describe what this stage would make, and from what."""
    from figtune.dataset.records import LEARNED_FROM
    from figtune.models.records import CURVES_FILE, OUTPUT_CONTENTS, TRAINING_VERSION

    return Stage(
        name="train",
        version=TRAINING_VERSION,
        folder=config.output_dir,
        command=f"python {SCRIPT_FILE}",
        settings={name: value for name, value in flatten(config.train, "train.").items() if name != _WATCHING},
        needs=(
            Dependency(stage="prepare", folder=config.dataset_dir, command=commands.PREPARE, reads=LEARNED_FROM),
            Dependency(stage="setup", folder=config.model_dir, command=commands.SETUP),
        ),
        outputs=(*OUTPUT_CONTENTS, RESULT_SETTINGS_FILE),
        staging_folder=config.output_dir / ".partial-results",
        html_pages=(CURVES_FILE,),
    )


def run(config: Config) -> StageSummary:
    """Make OUTPUT if it is not current."""
    from figtune.evaluation.staleness import warn_if_stale

    folders = (config.work_dir, config.output_dir)
    summary = run_if_stale(
        describe(config), partial(_produce, config), lock_folders=folders, force=config.force, shared=True
    )
    if is_rank_zero():
        warn_if_stale(config.output_dir)
    return summary


def check(config: Config) -> None:
    """Check launcher, device and trackers, and that the base model is available."""
    from figtune.training.loggers import check_trackers

    check_launch_and_device(SCRIPT_FILE, config.device)
    check_base(config.model_dir, config.model.name)
    check_trackers(config.train.trackers)


SCRIPT = StageScript(describe=describe, run=run, check=check)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_cli(lambda: _run_all(parse(argv, SCRIPT_FILE, __doc__)))


def _run_all(config: Config) -> None:
    def run_all_stages() -> None:
        run_stages([SCRIPT, *post_training_stages(config, config.model.name)], config)

    run_distributed(run_all_stages, on_cpu=config.device == "cpu")


def _produce(config: Config, folder: Path) -> StageResult:
    from figtune.training.memory_check import MemoryBudget, check_training_memory
    from figtune.training.train import train

    budget = MemoryBudget.of(config.device, config.memory)
    check_training_memory(config.model_dir, config.train, budget, commands.SETUP)
    summary = train(
        config.dataset_dir,
        config.model_dir,
        config.output_dir,
        config.train,
        results_dir=folder,
        device=config.device,
        model_by=commands.SETUP,
        budget=budget,
    )
    if is_rank_zero():
        used = with_upstream_settings(config, describe(config))
        write_bytes(folder / RESULT_SETTINGS_FILE, encode(replace(used, serve_password=None)))
    return StageResult(counts={"examples": summary.examples, "steps": summary.steps, "shortened": summary.truncated})


if __name__ == "__main__":
    sys.exit(main())
