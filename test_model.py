"""Stage 5: say how good the fine-tuned model is, or let people talk to it.

Reads WORK/dataset and OUTPUT; writes OUTPUT/evaluation: predictions.jsonl, metrics.json and report.html, with base and
tuned model side by side on held-out papers. With --test_image it prints the model's answer instead, on an image, a
figure of a paper or a folder of images; with --serve it opens a page; with --compare it prints runs side by side.

    python test_model.py
    python test_model.py --test_image paper.pdf --figure 3 --task explain
    python test_model.py --serve
    python test_model.py --compare OUTPUT_A OUTPUT_B
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from config import Config, parse
from figtune.core import commands
from figtune.core.artifacts import Dependency, Stage
from figtune.core.cli import StageScript, run_cli, run_stages
from figtune.core.distributed import run_distributed
from figtune.core.log import print_result
from figtune.core.optional import require
from figtune.core.settings import flatten
from figtune.core.stages import StageResult, StageSummary, run_if_stale
from figtune.dataset.records import EXAMPLES_READ
from figtune.inference.adapter_record import adapter_fingerprint
from figtune.metrics.records import EVALUATION_CONTENTS, EVALUATION_VERSION, REPORT_FILE
from figtune.models.availability import check_base, check_launch_and_device
from figtune.models.records import TRAINED_MODEL

logger = logging.getLogger("figtune")


def describe(config: Config) -> Stage:
    """Describe what this stage would make, and from what."""
    if config.test_image is not None or config.serve or config.compare:
        return _request(config)
    return Stage(
        name="test",
        version=EVALUATION_VERSION,
        folder=config.evaluation_dir,
        command=commands.TEST,
        settings=flatten(config.test, "test."),
        files={"adapter": adapter_fingerprint(config.output_dir) or ""},
        needs=(
            Dependency(stage="prepare", folder=config.dataset_dir, command=commands.PREPARE, reads=EXAMPLES_READ),
            Dependency(stage="train", folder=config.output_dir, command=commands.TRAIN, reads=TRAINED_MODEL),
        ),
        outputs=EVALUATION_CONTENTS,
        html_pages=(REPORT_FILE,),
    )


def run(config: Config) -> StageSummary:
    """Make OUTPUT/evaluation if it is not current, let people talk to the model, or compare runs."""
    produce = _talk if config.serve or config.test_image is not None else _compare if config.compare else _evaluate
    stage, folders, shared = describe(config), (config.work_dir, config.output_dir), produce is _evaluate
    return run_if_stale(stage, lambda _: produce(config), lock_folders=folders, force=config.force, shared=shared)


def check(config: Config) -> None:
    """See that launcher and device are as asked, and that the base model is to be had."""
    if not config.compare:
        check_launch_and_device("test_model.py", config.device)
        check_base(config.output_dir, config.model.name)


def check_request(config: Config) -> None:
    """See that what is to be asked about can be read, and that a page can be served."""
    if config.test_image is not None:
        from figtune.inference.preflight import check_subject

        check_subject(config.test_image, config.figure, config.answers)
    if config.serve:
        require("gradio", "--serve", "requirements-serve.txt")


SCRIPT = StageScript(describe=describe, run=run, check=check, check_request=check_request)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run_cli(lambda: _run_all(parse(argv, "test_model.py", __doc__)))


def _run_all(config: Config) -> None:
    run_distributed(lambda: run_stages([SCRIPT], config), on_cpu=config.device == "cpu")


def _request(config: Config) -> Stage:
    """Describe a request: its answer is not kept, so nothing can be current; loading checks the adapter."""
    why = "a page to talk to the model" if config.serve else f"asked about {config.test_image or 'several runs'}"
    return Stage(
        name="test", version=0, folder=config.output_dir, command=commands.TEST, settings={}, outputs=(), always_run=why
    )


def _talk(config: Config) -> StageResult:
    from figtune.inference.ask import ask_about
    from figtune.inference.prompt_spec import PromptSpec
    from figtune.inference.serve import serve
    from figtune.inference.settings import InferenceSettings, PaperSettings
    from figtune.inference.web_server import Access

    paper = PaperSettings(extract=config.extract, max_context_words=config.prepare.max_context_words)
    settings = InferenceSettings(
        device=config.device,
        batch_size=config.test.batch_size,
        decoding=config.test,
        paper=paper,
        strict=config.strict,
        unquantized=config.test.base_weights == "full",
    )
    dataset_prompt = config.data.prompt if config.data.source else None
    spec = PromptSpec(task=config.task, custom_prompt=config.prompt, dataset_prompt=dataset_prompt)
    if config.test_image is None:
        access = Access(host=config.serve_host, port=config.serve_port, password=config.serve_password)
        serve(config.output_dir, spec, settings, access)
        return StageResult(counts={"page served": 1})
    about, figure, answers = config.test_image, config.figure, config.answers
    return StageResult(counts=vars(ask_about(config.output_dir, about, spec, settings, figure=figure, answers=answers)))


def _evaluate(config: Config) -> StageResult:
    from figtune.evaluation.evaluate import EvalSettings, evaluate
    from figtune.metrics.bootstrap import Bootstrap
    from figtune.models.records import FEATURES_FOLDER

    bootstrap = Bootstrap(config.test.bootstrap_samples, config.train.seed)
    settings = EvalSettings(
        config.device, config.test.batch_size, config.test, bootstrap, unquantized=config.test.base_weights == "full"
    )
    summary = evaluate(config.dataset_dir, config.output_dir, config.model_dir / FEATURES_FOLDER, settings)
    logger.info(" ".join(filter(None, (summary.verdict.headline, summary.verdict.sentence))))
    return StageResult(counts={"examples": sum(part.examples for part in summary.slices if part.by == "all")})


def _compare(config: Config) -> StageResult:
    from figtune.evaluation.staleness import read_evaluation
    from figtune.metrics.bootstrap import Bootstrap
    from figtune.reports.comparison import comparison_table

    runs = [read_evaluation(output) for output in config.compare]
    print_result(comparison_table(runs, Bootstrap(config.test.bootstrap_samples, config.train.seed)))
    return StageResult(counts={"runs": len(config.compare)})


if __name__ == "__main__":
    sys.exit(main())
