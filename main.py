"""Run the pipeline: from a folder of papers to a fine-tuned vision-language model and a report on it.

Stages talk only through the folders they write, so any of them can be run again alone; only what is stale is redone.

    python main.py --pdf_dir papers --output_dir my_model
    python main.py --steps prepare train --train.learning_rate 1e-4
    python main.py --preset demo
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from config import STEPS, Config, Step, parse
from figtune.core.cli import StageScript, run_cli, run_stages
from figtune.core.distributed import hide_cards, world_size
from figtune.core.errors import UsageError
from figtune.core.log import configure_logging
from figtune.core.stages import plan
from figtune.export.post_training import post_training_stages

logger = logging.getLogger("figtune")

STAGE_SCRIPTS: dict[Step, str] = {
    "extract": "extract_content",
    "prepare": "prepare_data",
    "setup": "setup_model",
    "train": "train_model",
    "test": "test_model",
}


def run(config: Config) -> None:
    """Run the chosen steps, in the pipeline's order whatever the order given.

    Raises:
        UsageError: a launcher has started several processes of it.
    """
    configure_logging(quiet=config.quiet, verbose=config.verbose)
    if config.device == "cpu":
        hide_cards()
    if world_size() > 1:
        raise UsageError(
            f"main.py takes one process, but {world_size()} were launched",
            "run it without a launcher up to setup, then launch train_model.py",
        )
    if config.review:
        raise UsageError("main.py opens no page", "run: python prepare_data.py --review")
    steps = _with_setup(_without_extraction([step for step in STEPS if step in config.steps], config), config)
    run_stages([*(_script(step) for step in steps), *post_training_stages(config, config.model.name)], config)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_cli(lambda: run(parse(argv, "main.py", __doc__)))


def _script(step: Step) -> StageScript[Config]:
    script: StageScript[Config] = import_module(STAGE_SCRIPTS[step]).SCRIPT
    return script


def _without_extraction(steps: list[Step], config: Config) -> list[Step]:
    """Leave out extraction: a data set has its images and texts already."""
    if not config.data.source or "extract" not in steps:
        return steps
    if steps == ["extract"]:
        raise UsageError("--data.source leaves nothing to extract", "give other --steps, or leave it out for papers")
    logger.info(f"extract: left out, since the examples come from {config.data.source}")
    return [step for step in steps if step != "extract"]


def _with_setup(steps: list[Step], config: Config) -> list[Step]:
    """Add setup, which needs nothing of the user, where the model is missing or has other settings."""
    if "train" not in steps or "setup" in steps:
        return steps
    (setup,) = plan([_script("setup").describe(config)], force=False)
    if setup.reason is None:
        return steps
    logger.info(f"setup: added, since train needs it ({setup.reason})")
    return [step for step in STEPS if step in {*steps, "setup"}]


if __name__ == "__main__":
    sys.exit(main())
