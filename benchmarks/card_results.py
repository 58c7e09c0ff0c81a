"""Results of `benchmarks.card`: their records, the file that keeps them, and the table made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from figtune.core.io import write_text
from figtune.core.jsonl import read_json, write_json

Kind = Literal["training", "run", "encoding", "generation", "loading"]
State = Literal["running", "done", "failed", "skipped", "not reached"]
Mode = Literal["lora", "qlora"]

RESULTS_FILE, TABLE_FILE = "card.json", "card.md"
EXAMPLES_PER_PAPER, IMAGES_PER_PAPER = 17.8, 6.2
"""Training examples and images of a paper, held-out papers left out: of 12 papers of CVPR, docs/measurements.md."""
TOLERANCE = 0.02
"""Share by which first losses may differ: bfloat16 rounds each way's sums otherwise."""
GB, MINUTE, HOUR = 1e9, 60, 3600
_COLUMNS = (
    *(
        "batch",
        "checkpointing",
        "way",
        "examples/s",
        "x stock",
        "x fair",
        "tokens/s",
        "MFU %",
        "peak GB",
        "reserved",
        "estimate",
    ),
    "loss",
)
STOCK, FAIR = "stock", "fair:"
"""Beginnings of the titles that others with the same checkpointing are compared with."""


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """The device and the software that rows were measured on."""

    name: str
    memory: int
    """Bytes; of a card, or main memory."""
    free: int
    """Bytes that were free at the start."""
    driver: str
    """Version of the card's driver; empty without a card."""
    versions: dict[str, str]
    """Versions of libraries by name; empty where one is not installed."""
    dtype: str
    """dtype of the frozen weights and of the products measured."""
    matmul_tflops: float
    """TFLOP/s of products of large square matrices."""
    copy_gb: float
    """GB/s of memory traffic of a copy: read and written."""
    peak_tflops: float | None
    """TFLOP/s by the maker's data sheet; None for an unknown device."""

    @property
    def peak(self) -> float:
        """TFLOP/s that shares refer to: the data sheet's, or the measured ones of an unknown device."""
        return self.peak_tflops or self.matmul_tflops


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Numbers of a row; None where it has no such number."""

    per_second: float
    """Examples, images or tokens a second, by the row's kind; GB a second for loading."""
    tokens_per_second: float | None = None
    """Tokens of examples as if each stood alone, its image included: the same for all ways."""
    tflops: float | None = None
    """TFLOP of a step, without what checkpointing does again."""
    step_seconds: float | None = None
    """Median of the steps."""
    peak: int | None = None
    """Bytes allocated at the fullest moment; of the whole process on a CPU."""
    reserved: int | None = None
    """Bytes that the allocator held; None on a CPU."""
    loss: float | None = None
    """Loss of the first step, in nats per target token."""
    text_tokens: int | None = None
    """Text tokens of the longest example."""
    target_tokens: int | None = None
    """Target tokens of an example, on average."""
    encoder: int | None = None
    """Bytes of the vision encoder, where it was kept for other ways: no part of the estimate."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that is measured."""

    name: str
    kind: Kind
    model: str
    mode: Mode = "lora"
    batch: int = 1
    """Examples of a forward pass."""
    title: str = ""
    """Way of training."""
    checkpointing: bool = False
    estimated: bool = False
    """True where the memory estimate is about this way of training."""
    state: State = "running"
    reason: str = ""
    """Reason for which it was not measured."""
    measured: Measured | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Memory that a row was estimated to take, in bytes."""

    row: str
    tensors: int
    total: int
    """With libraries and fragmentation."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """`card.json`"""

    schema: Literal[1] = 1
    size: str
    device: DeviceFacts | None = None
    rows: tuple[Row, ...] = ()
    estimates: tuple[Estimate, ...] = ()

    def with_row(self, row: Row) -> Results:
        """Return the results with a row in place of the one of its name, or at the end."""
        if any(each.name == row.name for each in self.rows):
            return replace(self, rows=tuple(row if each.name == row.name else each for each in self.rows))
        return replace(self, rows=(*self.rows, row))

    def finished(self, name: str) -> bool:
        """Return whether a row need not be measured any more."""
        return any(row.name == name and row.state not in ("running", "not reached") for row in self.rows)


def read_results(folder: Path, size: str) -> Results:
    """Return what was measured so far.

    Raises:
        InputError: the file is damaged.
    """
    file = folder / RESULTS_FILE
    return read_json(file, Results, "python -m benchmarks.card") if file.exists() else Results(size=size)


def write_results(folder: Path, results: Results) -> None:
    """Write `card.json`."""
    write_json(folder / RESULTS_FILE, results)


def write_table(folder: Path, results: Results, planned: Sequence[Row], price: float, papers: int) -> None:
    """Write `card.md`.

    Args:
        planned: all rows, those that were not reached among them.
        price: of an hour, in any currency; 0 for none.
    """
    lines = [*_device_lines(results), *_training_lines(results), *_other_lines(results)]
    lines += [*_projection_lines(results, price, papers), *_missing_lines(results, planned)]
    write_text(folder / TABLE_FILE, "\n".join(lines) + "\n")


def _device_lines(results: Results) -> Iterator[str]:
    facts = results.device
    if facts is None:
        yield "# Nothing measured yet"
        return
    yield f"# {facts.name}"
    yield ""
    known = f", {facts.peak_tflops:,.0f} by the data sheet" if facts.peak_tflops else ""
    yield f"- memory: {facts.memory / GB:.1f} GB, {facts.free / GB:.1f} GB free at the start"
    yield f"- products in {facts.dtype}: {facts.matmul_tflops:,.3g} TFLOP/s{known}; copies: {facts.copy_gb:,.0f} GB/s"
    versions = ", ".join(f"{name} {version or 'is not installed'}" for name, version in facts.versions.items())
    yield f"- {f'driver {facts.driver}, ' if facts.driver else ''}{versions}"
    if results.size != "full":
        yield f"- models of the size {results.size}: a trial of this benchmark, whose numbers mean nothing"


def _training_lines(results: Results) -> Iterator[str]:
    facts = results.device
    groups = {(row.model, row.mode): None for row in _done(results, "training")}
    for model, mode in groups:
        yield from ("", f"## Training {model}, {mode}", "")
        yield f"| {' | '.join(_COLUMNS)} |"
        yield "|---" * len(_COLUMNS) + "|"
        rows = [row for row in _done(results, "training") if (row.model, row.mode) == (model, mode)]
        for row in sorted(rows, key=lambda row: (row.batch, not row.checkpointing)):
            found = row.measured
            assert found is not None
            alike = [each for each in rows if (each.batch, each.checkpointing) == (row.batch, row.checkpointing)]
            ratios = (_ratio(found, alike, title) for title in (STOCK, FAIR))
            mfu = None
            if facts is not None and found.tflops and found.step_seconds:
                mfu = 100 * found.tflops / found.step_seconds / facts.peak
            cells = (
                str(row.batch),
                "yes" if row.checkpointing else "no",
                row.title,
                f"{found.per_second:.2f}",
                *ratios,
                _number(found.tokens_per_second, ",.0f"),
                _number(mfu, ".1f"),
                _number(found.peak and found.peak / GB, ".2f"),
                _number(found.reserved and found.reserved / GB, ".2f"),
                _estimated(results, row),
                _number(found.loss, ".4f"),
            )
            yield f"| {' | '.join(cells)} |"
        yield from _differences(rows)
    if groups:
        yield ""
        yield (
            "Tokens are those of examples that stand alone. MFU counts no operation twice that checkpointing does "
            "twice. The estimate is of tensors alone, and the encoder where it was kept for other rows, as the peak "
            "is; it is of examples in rows of their own, hence an upper bound where they share an image."
        )


def _differences(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each batch of which the ways have other losses: all compute the same."""
    for batch in sorted({row.batch for row in rows}):
        losses = [row.measured.loss for row in rows if row.batch == batch and row.measured and row.measured.loss]
        if losses and max(losses) - min(losses) > TOLERANCE * max(losses):
            yield ""
            yield f"**Wrong: losses of batch {batch} differ: from {min(losses):.4f} to {max(losses):.4f}**"


def _estimated(results: Results, row: Row) -> str:
    found = next((each.tensors for each in results.estimates if each.row == row.name), None)
    if found is None or row.measured is None:
        return "-"
    return f"{(found + (row.measured.encoder or 0)) / GB:.2f}"


def _ratio(found: Measured, alike: Sequence[Row], title: str) -> str:
    others = [each.measured for each in alike if each.title.startswith(title)]
    return f"{found.per_second / others[0].per_second:.2f}" if others and others[0] else "-"


def _other_lines(results: Results) -> Iterator[str]:
    rows = [row for row in results.rows if row.state == "done" and row.kind != "training"]
    if not rows:
        return
    yield from ("", "## Loading, encoding, generation, whole runs", "", "| | a second | peak GB |", "|---|---|---|")
    units = {"run": "examples", "loading": "GB", "encoding": "images", "generation": "tokens"}
    for row in rows:
        found = row.measured
        assert found is not None
        peak = _number(found.peak and found.peak / GB, ".2f")
        yield f"| {row.name} | {found.per_second:.2f} {units[row.kind]} | {peak} |"


def _projection_lines(results: Results, price: float, papers: int) -> Iterator[str]:
    examples, images = papers * EXAMPLES_PER_PAPER, papers * IMAGES_PER_PAPER
    lines = []
    for model in dict.fromkeys(row.model for row in results.rows):
        encoding = next((row.measured for row in _done(results, "encoding") if row.model == model), None)
        ours = [row for row in _done(results, "training") if row.model == model and row.estimated]
        for mode in dict.fromkeys(row.mode for row in ours):
            rates = {row.name: row.measured.per_second for row in ours if row.mode == mode and row.measured}
            best = max(rates, key=lambda name: rates[name])
            once = images / encoding.per_second if encoding else 0.0
            epoch = examples / rates[best]
            cost = f"{(once + epoch) / HOUR * price:.2f}" if price else "-"
            before = f"{once / MINUTE:.1f}" if encoding else "-"
            lines.append(f"| {best} | {before} | {epoch / MINUTE:.1f} | {cost} |")
    if lines:
        yield from ("", f"## One epoch of {papers} papers, projected", "")
        yield "| fastest way | encoding once, minutes | an epoch, minutes | price of both |"
        yield "|---|---|---|---|"
        yield from lines
        yield ""
        yield f"{examples:,.0f} examples like these about {images:,.0f} images; {price:g} an hour."


def _missing_lines(results: Results, planned: Sequence[Row]) -> Iterator[str]:
    found = {row.name: row for row in results.rows}
    rows = [found.get(row.name, row) for row in planned]
    missing = [row for row in rows if row.state != "done"]
    if missing:
        yield from ("", "## Not measured", "", "| row | |", "|---|---|")
    for row in missing:
        reason = f"{row.state}: {row.reason}" if row.reason else "not reached: run the same command again"
        yield f"| {row.name} | {reason} |"


def _done(results: Results, kind: Kind) -> list[Row]:
    return [row for row in results.rows if row.state == "done" and row.kind == kind]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
