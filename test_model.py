"""Stage 5: say how good the fine-tuned model is, or let people talk to it.

Reads WORK/dataset and OUTPUT; writes OUTPUT/evaluation: predictions.jsonl, metrics.json and report.html, with base and
tuned model side by side on held-out papers. --test_image prints the model's answer instead, on an image, a figure of a
paper or a folder; --serve opens a page; --compare prints runs side by side; --test.server evaluates a server's answers.

    python test_model.py
    python test_model.py --test_image paper.pdf --figure 3 --task explain
    python test_model.py --serve
    python test_model.py --compare OUTPUT_A OUTPUT_B
    python test_model.py --test.server http://127.0.0.1:8000
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from config import PREPARE, Config, parse
from figtune.core import commands
from figtune.core.artifacts import Dependency, Stage
from figtune.core.cli import StageScript, run_cli, run_stages
from figtune.core.distributed import run_distributed
from figtune.core.log import print_result
from figtune.core.settings import flatten, require
from figtune.core.stages import StageResult, StageSummary, run_if_stale
from figtune.core.upstream import settings_of_result
from figtune.dataset.records import EXAMPLES_READ
from figtune.inference.adapter_record import adapter_fingerprint
from figtune.metrics.records import EVALUATION_CONTENTS, EVALUATION_VERSION, REPORT_FILE
from figtune.models.availability import check_base, check_launch_and_device
from figtune.models.records import TRAINED_MODEL


def describe(config: Config) -> Stage:
    """Describe what this stage would make, and from what."""
    if (asked := _asked_for(config)) is not None:
        return Stage.on_request("test", config.output_dir, commands.TEST, asked[0])
    return Stage(
        name="test",
        version=EVALUATION_VERSION,
        folder=config.evaluation_dir,
        command=commands.TEST,
        settings=flatten(config.test.without_server, "test."),
        files={"adapter": adapter_fingerprint(config.output_dir) or ""},
        needs=(
            Dependency(stage="prepare", folder=config.dataset_dir, command=commands.PREPARE, reads=EXAMPLES_READ),
            Dependency(stage="train", folder=config.output_dir, command=commands.TRAIN, reads=TRAINED_MODEL),
        ),
        outputs=EVALUATION_CONTENTS,
        html_pages=(REPORT_FILE,),
    )


def run(config: Config) -> StageSummary:
    """Make OUTPUT/evaluation if it is not current, let people talk to the model, compare runs, or ask a server."""
    _, produce = _asked_for(config) or ("", _evaluate)
    stage, folders, shared = describe(config), (config.work_dir, config.output_dir), produce is _evaluate
    return run_if_stale(stage, lambda _: produce(config), lock_folders=folders, force=config.force, shared=shared)


def check(config: Config) -> None:
    """Check launcher and device, and that the base model is available."""
    if not config.compare and not config.test.server:
        check_launch_and_device("test_model.py", config.device)
        check_base(config.output_dir, config.model.name)


def check_request(config: Config) -> None:
    """See that what is to be asked about can be read, and that a page can be served."""
    if config.test_image is not None:
        from figtune.inference.adapter_record import check_input_file

        check_input_file(config.test_image, config.figure, config.answers)
    if config.serve:
        require("gradio", "--serve", "requirements-serve.txt")


SCRIPT = StageScript(describe=describe, run=run, check=check, check_request=check_request)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_cli(lambda: _run_all(parse(argv, "test_model.py", __doc__)))


def _run_all(config: Config) -> None:
    run_distributed(lambda: run_stages([SCRIPT], config), on_cpu=config.device == "cpu")


def _asked_for(config: Config) -> tuple[str, Callable[[Config], StageResult]] | None:
    """Return what is asked for in place of the evaluation, never current, and what answers it; None for nothing."""
    if config.serve:
        return "a page to talk to the model", _talk
    if config.test_image is not None:
        return f"asked about {config.test_image}", _talk
    if config.compare:
        return "asked about several runs", _compare
    return (f"asked of {config.test.server}", _evaluate_served) if config.test.server else None


def _talk(config: Config) -> StageResult:
    from figtune.inference.ask import ask_about
    from figtune.inference.paper_figures import ExampleSettings, spec_as_trained
    from figtune.inference.serve import serve
    from figtune.inference.settings import InferenceSettings

    test = config.test
    trained = settings_of_result(config.output_dir, config)
    settings = InferenceSettings(config.device, test.batch_size, test, config.extract, config.strict, test.unquantized)
    given, of_training = ExampleSettings(config.data, config.prepare), ExampleSettings(trained.data, trained.prepare)
    spec = spec_as_trained(config.task, config.prompt, given, of_training, PREPARE)
    if config.test_image is None:
        serve(config.output_dir, spec, settings, config.access)
        return StageResult(counts={"page served": 1})
    counts = ask_about(config.output_dir, config.test_image, spec, settings, config.figure, config.answers)
    return StageResult(counts=vars(counts))


def _evaluate(config: Config) -> StageResult:
    from figtune.evaluation.evaluate import evaluate
    from figtune.models.records import FEATURES_FOLDER

    features, seed = config.model_dir / FEATURES_FOLDER, config.train.seed
    summary = evaluate(config.dataset_dir, config.output_dir, features, config.test, seed, config.device)
    return StageResult(counts={"examples": sum(part.examples for part in summary.slices if part.by == "all")})


def _evaluate_served(config: Config) -> StageResult:
    from figtune.evaluation.evaluate_served import evaluate_served

    found = evaluate_served(config.dataset_dir, config.output_dir, config.test, config.train.seed)
    return StageResult(counts={"examples compared": found.examples}, failed=found.unanswered)


def _compare(config: Config) -> StageResult:
    from figtune.evaluation.staleness import compared_runs

    print_result(compared_runs(config.compare, config.test.bootstrap_samples, config.train.seed))
    return StageResult(counts={"runs": len(config.compare)})


if __name__ == "__main__":
    sys.exit(main())
