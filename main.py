"""Run the pipeline: from a folder of papers to a fine-tuned vision-language model and a report on it.

Stages talk only through the folders they write, so any of them can be run again alone; only what is stale is redone.

    python main.py --pdf_dir papers --output_dir my_model
    python main.py --steps prepare train --train.learning_rate 1e-4
    python main.py --preset demo
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from config import STEPS, Config, Step, parse
from figtune.pipeline.artifacts import Stage
from figtune.pipeline.command import exit_code_of, report
from figtune.pipeline.progress import say, show
from figtune.pipeline.stages import Planned, Summary, plan

STAGE_SCRIPTS: dict[Step, str] = {
    "extract": "extract_content",
    "prepare": "prepare_data",
    "setup": "setup_model",
    "train": "train_model",
    "test": "test_model",
}


class StageScript(Protocol):
    """What every stage script offers."""

    def describe(self, config: Config) -> Stage:
        """What the stage would make, and from what."""

    def run(self, config: Config) -> Summary:
        """Make it, if it is not current."""


def run(config: Config) -> None:
    """Plan the chosen steps, then run those that are stale, or only print the plan."""
    steps = _with_setup([step for step in STEPS if step in config.steps], config)
    planned = plan([_script(step).describe(config) for step in steps], force=config.force)
    if config.dry_run:
        show("\n".join(_plan_line(entry) for entry in planned))
        return
    summaries = [_script(step).run(config) for step in steps]
    report(summaries, strict=config.strict)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return exit_code_of(lambda: run(parse(argv, "main.py", __doc__)))


def _script(step: Step) -> StageScript:
    return cast(StageScript, import_module(STAGE_SCRIPTS[step]))


def _with_setup(steps: list[Step], config: Config) -> list[Step]:
    """Setup needs nothing of the user, so training brings it along where it is missing or has other settings."""
    if "train" not in steps or "setup" in steps:
        return steps
    (setup,) = plan([_script("setup").describe(config)], force=False)
    if setup.reason is None:
        return steps
    say(f"setup: added, since train needs it ({setup.reason})")
    return [step for step in STEPS if step in {*steps, "setup"}]


def _plan_line(entry: Planned) -> str:
    return f"{entry.stage.name}: {entry.reason or 'up to date'}"


if __name__ == "__main__":
    sys.exit(main())
