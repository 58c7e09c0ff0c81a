"""Stage 2: turn content into training examples for several tasks, split by paper.

Reads WORK/content; writes WORK/dataset: train.jsonl, val.jsonl, test.jsonl, minitrain.jsonl (a slice of train),
rejected.jsonl, stats.json, README.md and preview.html.

    python prepare_data.py
    python prepare_data.py --prepare.tasks caption explain --prepare.max_words 96
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from config import Config, parse
from figtune.pipeline.artifacts import Need, Stage
from figtune.pipeline.command import StageScript, exit_code_of, run_stages
from figtune.pipeline.settings import flatten
from figtune.pipeline.stages import Outcome, Summary, make


def describe(config: Config) -> Stage:
    """What this stage would make, and from what."""
    from figtune.examples.records import DATASET_CONTENTS, PREPARATION_VERSION, PREVIEW_FILE

    return Stage(
        name="prepare",
        version=PREPARATION_VERSION,
        folder=config.dataset_dir,
        command="python prepare_data.py",
        settings=flatten(config.prepare, "prepare."),
        needs=(Need(stage="extract", folder=config.content_dir, command="python extract_content.py"),),
        holds=DATASET_CONTENTS,
        pages=(PREVIEW_FILE,),
    )


def run(config: Config) -> Summary:
    """Make WORK/dataset if it is not current."""
    return make(describe(config), partial(_produce, config), lock_folder=config.work_dir, force=config.force)


SCRIPT = StageScript(describe=describe, run=run)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return exit_code_of(lambda: run_stages([SCRIPT], parse(argv, "prepare_data.py", __doc__)))


def _produce(config: Config) -> Outcome:
    from figtune.examples.choices import Choices
    from figtune.examples.preparation import prepare_examples
    from figtune.examples.splits import Fractions
    from figtune.reports.data_card import write_data_card
    from figtune.reports.preview import write_preview

    chosen = config.prepare
    choices = Choices(
        tasks=chosen.tasks,
        include_tables=chosen.include_tables,
        min_confidence=chosen.min_confidence,
        min_side_pixels=chosen.min_side_pixels,
        max_aspect_ratio=chosen.max_aspect_ratio,
        min_ink_share=chosen.min_ink_share,
        english_only=chosen.english_only,
        min_words=chosen.min_words,
        max_words=chosen.max_words,
        max_context_words=chosen.max_context_words,
        near_duplicate_bits=chosen.near_duplicate_bits,
        minitrain_examples=chosen.minitrain_examples,
        fractions=Fractions(val=chosen.val_fraction, test=chosen.test_fraction, seed=chosen.split_seed),
    )
    stats = prepare_examples(config.content_dir, config.dataset_dir, choices)
    write_data_card(config.dataset_dir)
    write_preview(config.dataset_dir)
    examples = {f"{split} examples": sum(tasks.values()) for split, tasks in stats.examples.items()}
    return Outcome(counts={"figures used": stats.figures_used, "rejected": stats.figures_rejected, **examples})


if __name__ == "__main__":
    sys.exit(main())
