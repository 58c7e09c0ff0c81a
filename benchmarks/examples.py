"""Measure what examples of papers say: counts, how much is said twice, how much is new, how good it is.

    python -m benchmarks.examples WORK/content
    python -m benchmarks.examples WORK/content --prepare.tasks caption explain

Prepares a content folder into a temporary one with the settings of config.py and prints one table a line a task,
then what of the target words stands in more than one target of a figure, the distribution of the quality, and
rejections by rule. A target's words are said twice where the sentence that holds them stands in another target of the
same figure.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import prepare_data
from figtune.core.jsonl import read_json
from figtune.dataset.finalize import summary_of
from figtune.dataset.records import SPLITS, STATS_FILE, Example, Stats
from figtune.dataset.sentences import count_words, split_sentences
from figtune.dataset.shards import stream_examples


@dataclass
class Task:
    """Counts of one task."""

    examples: int = 0
    words: int = 0
    """Words of all targets."""
    repeated: int = 0
    """Words of sentences that stand in another target of the same figure."""
    new: int = 0
    """Words that stand neither in the example's prompt nor in the figure's other targets."""
    lengths: Counter[int] = field(default_factory=Counter)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; flags behind CONTENT are those of prepare_data.py."""
    content, *flags = sys.argv[1:] if arguments is None else arguments
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "content").symlink_to(Path(content).resolve())
        start = time.perf_counter()
        if code := prepare_data.main(["--work_dir", folder, *flags]):
            return code
        seconds = time.perf_counter() - start
        dataset = Path(folder) / "dataset"
        tasks, distinct = _measured(dataset)
        _print(tasks, distinct, read_json(dataset / STATS_FILE, Stats, "a benchmark"), seconds)
    return 0


def _measured(dataset: Path) -> tuple[dict[str, Task], int]:
    """Return counts by task, and the words of distinct sentences, each counted once a figure."""
    tasks: defaultdict[str, Task] = defaultdict(Task)
    distinct = 0
    for examples in _figures(dataset):
        holders = Counter(sentence for each in examples for sentence in set(_sentences(each)))
        distinct += sum(count_words(sentence) for sentence in holders)
        words = [set(each.completion.lower().split()) for each in examples]
        for number, each in enumerate(examples):
            known = set(each.prompt.lower().split()).union(*words[:number], *words[number + 1 :])
            task = tasks[each.task]
            task.examples += 1
            task.words += (length := count_words(each.completion))
            task.lengths[length] += 1
            task.repeated += sum(count_words(said) for said in _sentences(each) if holders[said] > 1)
            task.new += sum(word not in known for word in each.completion.lower().split())
    return dict(tasks), distinct


def _figures(dataset: Path) -> Iterator[list[Example]]:
    for split in SPLITS:
        by_figure: defaultdict[str, list[Example]] = defaultdict(list)
        for each in stream_examples(dataset, split):
            by_figure[each.source].append(each)
        yield from by_figure.values()


def _sentences(example: Example) -> tuple[str, ...]:
    """Return the sentences of a target; words read off a figure and short answers are none."""
    return () if example.task in ("read", "question") else split_sentences(example.completion)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print(tasks: Mapping[str, Task], distinct: int, stats: Stats, seconds: float) -> None:
    _say("task      examples   words  median  said twice   new words")
    for name in sorted(tasks):
        _say(_row(name, tasks[name]))
    texts = [task for name, task in tasks.items() if name not in ("read", "question")]
    total = sum(task.words for task in texts)
    share = sum(task.repeated for task in texts) / max(1, total)
    papers = sum(stats.groups.values())
    _say(f"target words {total}, said twice {share:.1%}; words of distinct sentences {distinct}")
    _say(f"{papers} papers, {distinct / max(1, papers):.0f} distinct words a paper")
    _say(f"{stats.figures} figures in {seconds:.1f} s: {1000 * seconds / max(1, stats.figures):.1f} ms each")
    for name, tenths in sorted(stats.quality.items()):
        _say(f"quality of {name} by tenths: {' '.join(map(str, tenths))}")
    for title, counts in (
        ("figures rejected", stats.figure_rejections),
        ("examples rejected", stats.example_rejections),
        ("sentences changed or dropped", stats.cleaned),
    ):
        _say(f"{title}: " + ", ".join(f"{rule} {count}" for rule, count in counts.items()))


def _row(name: str, task: Task) -> str:
    median = summary_of(task.lengths).median
    return (
        f"{name:10}{task.examples:8}{task.words:8}{median:8.0f}"
        f"{task.repeated / task.words:12.1%}{task.new / task.words:12.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
