"""Stage 5: say how good the fine-tuned model is, or answer about one image.

Reads WORK/dataset and OUTPUT; writes OUTPUT/evaluation: predictions.jsonl, metrics.json and report.html, with base and
tuned model side by side on held-out papers. With --test_image it prints the model's answer instead.

    python test_model.py
    python test_model.py --test_image figure.png --prompt "Describe this figure."
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from config import Config, parse
from figtune.pipeline.artifacts import Need, Stage
from figtune.pipeline.command import StageScript, exit_code_of, run_stages
from figtune.pipeline.progress import say, show
from figtune.pipeline.settings import flatten
from figtune.pipeline.stages import Outcome, Summary, make

if TYPE_CHECKING:
    from figtune.models.decoding import Decoding

COMMAND = "python test_model.py"


def describe(config: Config) -> Stage:
    """What this stage would make, and from what."""
    from figtune.metrics.records import EVALUATION_CONTENTS, EVALUATION_VERSION, REPORT_FILE

    if config.test_image is not None:
        return _question(config)
    return Stage(
        name="test",
        version=EVALUATION_VERSION,
        folder=config.evaluation_dir,
        command=COMMAND,
        settings=flatten(config.test, "test."),
        needs=(
            Need(stage="prepare", folder=config.dataset_dir, command="python prepare_data.py"),
            Need(stage="train", folder=config.output_dir, command="python train_model.py"),
        ),
        holds=EVALUATION_CONTENTS,
        pages=(REPORT_FILE,),
    )


def run(config: Config) -> Summary:
    """Make OUTPUT/evaluation if it is not current, or answer about --test_image."""
    produce = partial(_evaluate if config.test_image is None else _answer, config)
    return make(describe(config), produce, lock_folder=config.work_dir, force=config.force)


SCRIPT = StageScript(describe=describe, run=run)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return exit_code_of(lambda: run_stages([SCRIPT], parse(argv, "test_model.py", __doc__)))


def _question(config: Config) -> Stage:
    """An answer is not kept, so there is nothing that could be current; the adapter is checked when it is loaded."""
    return Stage(
        name="test",
        version=0,
        folder=config.output_dir,
        command=COMMAND,
        settings={},
        holds=(),
        always=f"asked about {config.test_image}",
    )


def _answer(config: Config) -> Outcome:
    from figtune.examples.tasks import plain_request
    from figtune.models.answering import answer

    assert config.test_image is not None
    usual = config.data.prompt if config.data.source else plain_request(config.task)
    prompt = usual if config.prompt is None else config.prompt
    show(answer(config.output_dir, config.test_image, prompt, device=config.device, decoding=_decoding(config)))
    return Outcome(counts={"answer": 1})


def _evaluate(config: Config) -> Outcome:
    from figtune.metrics.intervals import Bootstrap
    from figtune.models.evaluation import Trial, evaluate
    from figtune.models.records import FEATURES_FOLDER

    trial = Trial(
        device=config.device,
        batch_size=config.test.batch_size,
        decoding=_decoding(config),
        bootstrap=Bootstrap(samples=config.test.bootstrap_samples, seed=config.train.seed),
    )
    summary = evaluate(config.dataset_dir, config.output_dir, config.model_dir / FEATURES_FOLDER, trial)
    say(summary.verdict.sentence)
    return Outcome(counts={"examples": sum(part.examples for part in summary.slices if part.by == "all")})


def _decoding(config: Config) -> Decoding:
    from figtune.models.decoding import Decoding

    test = config.test
    return Decoding(max_new_tokens=test.max_new_tokens, temperature=test.temperature, top_p=test.top_p, seed=test.seed)


if __name__ == "__main__":
    sys.exit(main())
