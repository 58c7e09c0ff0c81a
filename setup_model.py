"""Stage 3: fetch the base model and configure parameter-efficient fine-tuning.

Reads a model from the Hub or a local folder; writes WORK/model: adapter/ (not trained yet), processor/, model.json and
parameters.json (what is trained and what is frozen).

    python setup_model.py
    python setup_model.py --model.name google/gemma-3-12b-pt --adapter.rank 32 --adapter.alpha 64
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from config import Config, parse
from figtune.core import commands
from figtune.core.artifacts import Stage
from figtune.core.cli import StageScript, run_cli, run_stages
from figtune.core.settings import flatten
from figtune.core.stages import StageResult, StageSummary, run_if_stale
from figtune.models.availability import check_device, check_setup, local_model_fingerprint
from figtune.models.families import TINY_TYPES
from figtune.models.settings import SetupSettings


def describe(config: Config) -> Stage:
    """Describe what this stage would make, and from what."""
    from figtune.models.records import MODEL_CONTENTS, SETUP_VERSION

    return Stage(
        name="setup",
        version=SETUP_VERSION,
        folder=config.model_dir,
        command=commands.SETUP,
        settings={
            **flatten(config.model, "model."),
            **flatten(config.adapter, "adapter."),
            "train.seed": config.train.seed,
        },
        files=local_model_fingerprint(config.model.name),
        outputs=MODEL_CONTENTS,
        staging_folder=config.work_dir / ".partial-model",
    )


def run(config: Config) -> StageSummary:
    """Make WORK/model if it is not current."""
    return run_if_stale(
        describe(config), partial(_produce, config), lock_folders=(config.work_dir,), force=config.force
    )


def check(config: Config) -> None:
    """Refuse at once what setup would refuse in the end, a model that is unavailable among it."""
    check_setup(_settings(config))
    check_device(config.device)
    if config.model.name not in TINY_TYPES:
        from figtune.models.model_files import check_model

        check_model(config.model.name, config.model.revision)


SCRIPT = StageScript(describe=describe, run=run, check=check)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_cli(lambda: run_stages([SCRIPT], parse(argv, "setup_model.py", __doc__)))


def _produce(config: Config, folder: Path) -> StageResult:
    from figtune.models.setup import set_up_model
    from figtune.training.memory_budget import StepConfig
    from figtune.training.memory_check import MemoryBudget, check_setup_memory

    step = StepConfig(adapter=config.adapter, max_length=config.model.max_length, train=config.train)
    check_setup_memory(config.model, step, MemoryBudget.of(config.device, config.memory))
    table = set_up_model(folder, _settings(config))
    return StageResult(counts={"trained parameters": table.trained, "parameters": table.total})


def _settings(config: Config) -> SetupSettings:
    return SetupSettings(model=config.model, adapter=config.adapter, seed=config.train.seed)


if __name__ == "__main__":
    sys.exit(main())
