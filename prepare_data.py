"""Stage 2: turn content, or an image-caption data set, into training examples, split by paper.

Reads WORK/content, or --data.source; writes WORK/dataset: train.jsonl, val.jsonl, test.jsonl (or for each a folder of
shards), minitrain.jsonl (a slice of train), rejected.jsonl, stats.json, README.md, preview.html; of a data set images/.

    python prepare_data.py
    python prepare_data.py --prepare.tasks caption explain --prepare.max_words 96
    python prepare_data.py --data.source scans.jsonl --export conversations
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from config import Config, parse
from figtune.pipeline import scripts
from figtune.pipeline.artifacts import Need, Stage
from figtune.pipeline.command import StageScript, exit_code_of, run_stages
from figtune.pipeline.settings import flatten
from figtune.pipeline.stages import Outcome, Summary, make

if TYPE_CHECKING:
    from figtune.examples.choices import Choices
    from figtune.examples.sources import DataSource


def describe(config: Config) -> Stage:
    """What this stage would make, and from what."""
    from figtune.examples.choices import ABOUT_PAPERS, LAYOUT
    from figtune.examples.content import CONTENT_READ
    from figtune.examples.identities import identity_of
    from figtune.examples.records import DATASET_CONTENTS, IMAGES_FOLDER, PREPARATION_VERSION, PREVIEW_FILE

    settings = {f"prepare.{name}": value for name, value in flatten(config.prepare).items() if name != LAYOUT}
    stage = Stage(
        name="prepare",
        version=PREPARATION_VERSION,
        folder=config.dataset_dir,
        command=scripts.PREPARE,
        settings=settings,
        layout={f"prepare.{LAYOUT}": config.prepare.shard_examples},
        needs=(Need(stage="extract", folder=config.content_dir, command=scripts.EXTRACT, reads=CONTENT_READ),),
        holds=DATASET_CONTENTS,
        bulk=(IMAGES_FOLDER,),
        apart=config.work_dir / ".partial-dataset",
        pages=(PREVIEW_FILE,),
    )
    if not config.data.source:
        return stage
    read = {name: value for name, value in settings.items() if name.removeprefix("prepare.") not in ABOUT_PAPERS}
    return replace(
        stage, settings={**flatten(config.data, "data."), **read}, needs=(), files=identity_of(_source(config))
    )


def run(config: Config) -> Summary:
    """Make WORK/dataset if it is not current; export it where that is asked for."""
    summary = make(describe(config), partial(_produce, config), lock_folders=(config.work_dir,), force=config.force)
    if config.export is not None:
        from figtune.examples.export import export_examples

        export_examples(config.dataset_dir, config.export)
    return summary


def check(config: Config) -> None:
    """See that the data set, if there is one, can be had."""
    if config.data.source:
        from figtune.examples.sources import check_source

        check_source(_source(config))


def check_request(config: Config) -> None:
    """See that the examples may be exported where they are to be."""
    if config.export is not None:
        from figtune.examples.export import check_export

        check_export(config.export)


SCRIPT = StageScript(describe=describe, run=run, check=check, check_request=check_request)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return exit_code_of(lambda: run_stages([SCRIPT], parse(argv, "prepare_data.py", __doc__)))


def _produce(config: Config, folder: Path) -> Outcome:
    from figtune.examples.preparation import prepare_examples
    from figtune.examples.row_preparation import prepare_rows
    from figtune.reports.data_card import write_data_card
    from figtune.reports.preview import write_preview

    if config.data.source:
        stats = prepare_rows(_source(config), folder, _choices(config))
    else:
        stats = prepare_examples(config.content_dir, folder, _choices(config))
    write_data_card(folder, config.tokenizer_file)
    write_preview(folder, config.tokenizer_file)
    return Outcome(counts=stats.summary)


def _source(config: Config) -> DataSource:
    from figtune.examples.rows import Columns
    from figtune.examples.sources import DataSource

    data = config.data
    columns = Columns(
        image=data.image_column, target=data.target_column, prompt=data.prompt_column, row_id=data.id_column
    )
    return DataSource(name=data.source, revision=data.revision, columns=columns, prompt=data.prompt, limit=data.limit)


def _choices(config: Config) -> Choices:
    from figtune.examples.choices import Choices
    from figtune.examples.splits import Fractions

    chosen = config.prepare
    same = {each.name: getattr(chosen, each.name) for each in fields(Choices) if each.name != "fractions"}
    held_out = Fractions(val=chosen.val_fraction, test=chosen.test_fraction, seed=chosen.split_seed)
    return Choices(**same, fractions=held_out)


if __name__ == "__main__":
    sys.exit(main())
