"""Stage 4: fine-tune the configured model on the training examples.

Reads WORK/dataset and WORK/model; writes OUTPUT: adapter/, processor/, model.json, config.json, metrics.jsonl,
answers.jsonl, curves.png and README.md (a model card); tensorboard/ beside them is for watching. Carries on from its
last checkpoint if it was interrupted.

    python train_model.py
    python train_model.py --train.epochs 5 --train.learning_rate 1e-4
    python train_model.py --merge --push_to_hub USER/NAME
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from config import Config, parse
from figtune.models.launch import check_base, crew, launch_check, run_together
from figtune.pipeline import scripts
from figtune.pipeline.artifacts import Need, Stage
from figtune.pipeline.command import StageScript, exit_code_of
from figtune.pipeline.crew import is_first_launched
from figtune.pipeline.files import write_bytes
from figtune.pipeline.settings import encode, flatten
from figtune.pipeline.stages import Outcome, Summary, make
from figtune.publishing.finishing import after_training

SCRIPT_FILE = "train_model.py"
CONFIG_FILE = "config.json"

_WATCHING = "train.trackers"
"""Changes nothing of what is made."""


def describe(config: Config) -> Stage:
    """What this stage would make, and from what."""
    from figtune.examples.records import LEARNED_FROM
    from figtune.models.records import CURVES_FILE, OUTPUT_CONTENTS, TRAINING_VERSION

    return Stage(
        name="train",
        version=TRAINING_VERSION,
        folder=config.output_dir,
        command=f"python {SCRIPT_FILE}",
        settings={name: value for name, value in flatten(config.train, "train.").items() if name != _WATCHING},
        needs=(
            Need(stage="prepare", folder=config.dataset_dir, command=scripts.PREPARE, reads=LEARNED_FROM),
            Need(stage="setup", folder=config.model_dir, command=scripts.SETUP),
        ),
        holds=(*OUTPUT_CONTENTS, CONFIG_FILE),
        apart=config.output_dir / ".partial-results",
        pages=(CURVES_FILE,),
    )


def run(config: Config) -> Summary:
    """Make OUTPUT if it is not current."""
    folders = (config.work_dir, config.output_dir)
    return make(describe(config), partial(_produce, config), lock_folders=folders, force=config.force, crew=crew())


def check(config: Config) -> None:
    """See that launcher and device are as asked, the base model is to be had, and the run can be watched as asked."""
    from figtune.training.loggers import check_trackers

    launch_check(SCRIPT_FILE)(config)
    check_base(config.model_dir, config.model.name)
    check_trackers(config.train.trackers)


SCRIPT = StageScript(describe=describe, run=run, check=check)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return exit_code_of(lambda: _run_all(parse(argv, SCRIPT_FILE, __doc__)))


def _run_all(config: Config) -> None:
    run_together([SCRIPT, *after_training(config)], config)


def _produce(config: Config, folder: Path) -> Outcome:
    from figtune.training.memory_check import MemoryBudget, check_training_memory
    from figtune.training.train import train

    budget = MemoryBudget.of(config.device, config.memory)
    check_training_memory(config.model_dir, config.train, budget, scripts.SETUP)
    summary = train(
        config.dataset_dir,
        config.model_dir,
        config.output_dir,
        config.train,
        results_dir=folder,
        device=config.device,
        model_by=scripts.SETUP,
    )
    if is_first_launched():
        write_bytes(folder / CONFIG_FILE, encode(config))
    return Outcome(counts={"examples": summary.examples, "steps": summary.steps, "shortened": summary.truncated})


if __name__ == "__main__":
    sys.exit(main())
