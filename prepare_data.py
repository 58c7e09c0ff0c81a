"""Stage 2: turn content, or an image-caption data set, into training examples, split by paper.

Reads WORK/content, or --data.source; writes WORK/dataset: train.jsonl, val.jsonl, test.jsonl (or for each a folder of
shards), minitrain.jsonl (a slice of train), rejected.jsonl, candidates.jsonl, stats.json, README.md, preview.html, and
images/ of a data set. --review opens a page to decide on examples; decisions.jsonl, which it writes, is applied here.

    python prepare_data.py
    python prepare_data.py --review
    python prepare_data.py --prepare.tasks caption explain --prepare.max_words 96
    python prepare_data.py --data.source scans.jsonl --export conversations
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
from figtune.core.errors import NothingProducedError, UsageError
from figtune.core.settings import flatten
from figtune.core.stages import StageResult, StageSummary, run_if_stale


def describe(config: Config) -> Stage:
    """Describe what this stage would make, and from what."""
    from figtune.dataset.content_folder import CONTENT_READ
    from figtune.dataset.decisions import decisions_fingerprint
    from figtune.dataset.hub_dataset import source_fingerprint
    from figtune.dataset.records import DATASET_CONTENTS, IMAGES_FOLDER, PREPARATION_VERSION, PREVIEW_FILE
    from figtune.dataset.settings import LAYOUT_SETTING, PAPER_ONLY_SETTINGS

    settings = {f"prepare.{name}": value for name, value in flatten(config.prepare).items() if name != LAYOUT_SETTING}
    decided = decisions_fingerprint(config.decisions)
    stage = Stage(
        name="prepare",
        version=PREPARATION_VERSION,
        folder=config.dataset_dir,
        command=commands.PREPARE,
        settings=settings,
        layout={f"prepare.{LAYOUT_SETTING}": config.prepare.shard_examples},
        needs=(Dependency(stage="extract", folder=config.content_dir, command=commands.EXTRACT, reads=CONTENT_READ),),
        files=decided,
        outputs=DATASET_CONTENTS,
        bulk=(IMAGES_FOLDER,),
        staging_folder=config.work_dir / ".partial-dataset",
        html_pages=(PREVIEW_FILE,),
    )
    if not config.data.source:
        return stage
    read = {name: value for name, value in settings.items() if name.removeprefix("prepare.") not in PAPER_ONLY_SETTINGS}
    files = {**source_fingerprint(config.data), **decided}
    return replace(stage, settings={**flatten(config.data, "data."), **read}, needs=(), files=files)


def run(config: Config) -> StageSummary:
    """Make WORK/dataset if it is not current; export it where that is asked for."""
    if not config.data.source:
        from figtune.dataset.content_folder import log_other_papers

        log_other_papers(config.content_dir, config.pdf_dir)
    summary = run_if_stale(
        describe(config), partial(_produce, config), lock_folders=(config.work_dir,), force=config.force
    )
    if config.export is not None:
        from figtune.dataset.export import export_examples

        export_examples(config.dataset_dir, config.export)
    return summary


def check(config: Config) -> None:
    """See that the data set, if there is one, can be had."""
    if config.data.source:
        from figtune.dataset.hub_dataset import check_source

        check_source(config.data)


def check_request(config: Config) -> None:
    """See that the examples may be exported where they are to be, and that a review stays on this machine."""
    if config.review and not config.access.is_local:
        raise UsageError(
            f"--review is for this machine alone, and {config.serve_host} is not", "leave --serve_host out"
        )
    if config.export is not None:
        from figtune.dataset.export import check_export

        check_export(config.export)


SCRIPT = StageScript(describe=describe, run=run, check=check, check_request=check_request)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_cli(lambda: _run_all(parse(argv, "prepare_data.py", __doc__)))


def _run_all(config: Config) -> None:
    rejected_dir = None
    try:
        run_stages([SCRIPT], config)
    except NothingProducedError as nothing:
        if not config.review:
            raise
        from figtune.dataset.candidates import folder_with_rejected

        rejected_dir = folder_with_rejected(describe(config).build_folder, nothing)
    if config.review and not config.dry_run:
        from figtune.review.server import serve_review
        from figtune.review.session import ReviewSession

        session = ReviewSession(config.dataset_dir, config.content_dir, config.pdf_dir, config.decisions, rejected_dir)
        serve_review(session, config.access)


def _produce(config: Config, folder: Path) -> StageResult:
    from figtune.dataset.build_from_dataset import prepare_rows
    from figtune.dataset.build_from_papers import prepare_examples
    from figtune.dataset.decisions import AppliedDecisions, read_decisions
    from figtune.reports.data_card import write_data_card
    from figtune.reports.preview import write_preview

    decisions = AppliedDecisions(read_decisions(config.decisions))
    if config.data.source:
        stats = prepare_rows(config.data, folder, config.prepare, decisions)
    else:
        stats = prepare_examples(config.content_dir, folder, config.prepare, decisions, config.pdf_dir)
    write_data_card(folder, config.tokenizer_file)
    write_preview(folder, config.tokenizer_file)
    return StageResult(counts=stats.summary)


if __name__ == "__main__":
    sys.exit(main())
