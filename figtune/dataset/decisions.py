"""Decisions of a person on examples, figures and crops: one JSONL file, sorted, for people to keep and compare.

A decision is found again by what it is about, never by a position or an id: the content of the paper's file, the label
of the figure, the task, and the target as the rules made it. Where they make another target, the example is undecided
again.
"""

from __future__ import annotations

import codecs
import hashlib
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, Self

import msgspec
from filelock import FileLock, Timeout

from figtune.core.errors import InputError, ResourceError
from figtune.core.io import atomic_write
from figtune.extraction.records import BoxTuple, FigureRecord, PaperRecord

REJECTED_IN_REVIEW = "rejected_in_review"
"""The rule by which an example or a figure goes that a person has rejected."""
_PAPER_DIGITS = 16
_LOCK_SECONDS = 10.0

Verdict = Literal["", "accept", "reject"]


@dataclass(frozen=True, kw_only=True, order=True)
class DecisionKey:
    """Subject of a decision."""

    paper: str
    """Beginning of the sha256 of the paper's file; of a data set's row that of its image."""
    figure: str
    """`figure-3`, as in figure_id behind the paper; empty for a row."""
    task: str = ""
    """Empty for the whole figure."""
    panel: str = ""
    question: str = ""
    """Request of an example that has one of its own; a row's prompt."""
    target: str = ""
    """Target as the rules made it."""

    @property
    def of_figure(self) -> Self:
        """The same for the whole figure."""
        return type(self)(paper=self.paper, figure=self.figure)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A line of the file; empty fields are left out of it."""

    paper: str
    figure: str = ""
    task: str = ""
    panel: str = ""
    question: str = ""
    target: str = ""
    verdict: Verdict = ""
    text: str = ""
    """Target that takes the place of the rules' one, where it was edited."""
    box: BoxTuple | None = None
    """Box of the figure's crop: `(x0, top, x1, bottom)` in points on its page."""
    source: str = ""
    """The value in `Example`, for people; it decides nothing."""

    @property
    def key(self) -> DecisionKey:
        """Subject of the decision."""
        return DecisionKey(**{field.name: getattr(self, field.name) for field in fields(DecisionKey)})

    @property
    def fault(self) -> str:
        """Return the contradiction in it; empty where there is none."""
        if not self.paper:
            return 'missing "paper"'
        if self.task and (not self.verdict or self.box is not None):
            return "a decision on an example has a verdict and no box"
        if not self.task and (self.text or not (self.verdict or self.box)):
            return "a decision on a figure has a verdict or a box, and no text"
        if self.text and self.verdict != "accept":
            return "an edited text goes with the verdict accept"
        if self.box is not None and not is_box(self.box):
            return "a box is left, top, right, bottom"
        return ""


def is_box(box: BoxTuple) -> bool:
    """Return True for finite numbers that enclose something."""
    return all(math.isfinite(number) for number in box) and box[0] < box[2] and box[1] < box[3]


def figure_key(figure: FigureRecord, paper: PaperRecord) -> DecisionKey:
    """Return the key of a figure: the file's content and the label, so that a renamed file keeps it."""
    return DecisionKey(paper=paper.sha256[:_PAPER_DIGITS], figure=figure.figure_id.removeprefix(f"{figure.paper_id}-"))


def row_key(image_sha256: str, task: str, prompt: str, target: str) -> DecisionKey:
    """Return the key of a data set's row: its image, prompt and target."""
    return DecisionKey(paper=image_sha256[:_PAPER_DIGITS], figure="", task=task, question=prompt, target=target)


def decided(key: DecisionKey, verdict: Verdict, source: str, text: str = "", box: BoxTuple | None = None) -> Decision:
    """Return a decision on a subject."""
    about = {field.name: getattr(key, field.name) for field in fields(key)}
    return Decision(**about, verdict=verdict, text=text, box=box, source=source)


class AppliedDecisions:
    """Decisions as a preparation looks them up, counted where they applied."""

    def __init__(self, decisions: Mapping[DecisionKey, Decision] | None = None) -> None:
        self._decisions = decisions or {}
        self._used: set[DecisionKey] = set()
        self._uncut = 0

    def about(self, key: DecisionKey) -> Decision | None:
        """Return the decision on a subject of this preparation."""
        decision = self._decisions.get(key)
        if decision is not None:
            self._used.add(key)
        return decision

    def count_uncut_box(self) -> None:
        """Count a box that could not be cut out of anything."""
        self._uncut += 1

    def counts(self) -> dict[str, int]:
        """Return the lines of the file by what they did; a figure's line may hold both a verdict and a box.

        `unused` are those whose example or figure this preparation does not make.
        """
        found: Counter[str] = Counter()
        for key in self._used:
            decision = self._decisions[key]
            if decision.verdict:
                name = f"{decision.verdict}ed" if not decision.text else "edited"
                found[name if decision.task else f"figures_{name}"] += 1
            found["boxes"] += decision.box is not None
        found["boxes_not_cut"] = self._uncut
        found["boxes"] -= self._uncut
        found["unused"] = len(self._decisions) - len(self._used)
        return {name: found[name] for name in sorted(found) if found[name]}


class DecisionFile:
    """The file: read whole, changed line by line under a lock, replaced whole. Other processes may change it too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A link stays one: the file that it leads to is changed.
        with suppress(OSError, RuntimeError):
            self.path = path.resolve()
        self._threads = threading.RLock()
        self._decisions: dict[DecisionKey, Decision] = {}
        self._state: tuple[int, int, int] | None = None

    def read(self) -> Mapping[DecisionKey, Decision]:
        """Return the decisions by subject; none where there is no file.

        Raises:
            InputError: a line is no decision, or two of them contradict each other.
            OSError: the file cannot be read.
        """
        with self._threads:
            state = self._state_on_disk()
            if state is None or state != self._state:
                self._decisions = read_decisions(self.path)
            self._state = state
            return self._decisions

    def put(self, decision: Decision) -> None:
        """Add a decision, or replace the one on the same subject. See `change`."""
        self.change(decision.key, lambda _: decision)

    def remove(self, key: DecisionKey) -> None:
        """Forget the decision on a subject. See `change`."""
        self.change(key, lambda _: None)

    def change(self, key: DecisionKey, edit: Callable[[Decision | None], Decision | None]) -> None:
        """Replace the decision on a subject by what `edit` makes of it; it is on the disk when this returns.

        Raises:
            InputError, OSError: see `read`.
            ResourceError: the file is locked for long.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=_LOCK_SECONDS)
        try:
            with self._threads, lock:
                decisions = dict(self.read())
                changed = edit(decisions.pop(key, None))
                if changed is not None:
                    decisions[key] = changed
                self._write(decisions)
        except Timeout:
            raise ResourceError(f"{self.path} is locked by another process", "try again in a moment") from None

    def _write(self, decisions: dict[DecisionKey, Decision]) -> None:
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            file.write(_lines(decisions))
            file.flush()
            os.fsync(file.fileno())
        self._decisions, self._state = decisions, self._state_on_disk()

    def _state_on_disk(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def read_decisions(path: Path) -> dict[DecisionKey, Decision]:
    """Read the decisions of a file by subject; none where there is no file.

    Raises:
        InputError: a line is no decision, or two of them contradict each other.
        OSError: the file cannot be read.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a regular file", "give another with --decisions")
    decisions: dict[DecisionKey, Decision] = {}
    numbers: dict[DecisionKey, int] = {}
    # Editors of Windows begin a file with a byte order mark.
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8) if path.exists() else b""
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        decision = _decision(line, f"{path}:{number}")
        key = decision.key
        if key in decisions and replace(decisions[key], source="") != replace(decision, source=""):
            raise InputError(f"{path}: lines {numbers[key]} and {number} decide differently on the same", "keep one")
        decisions[key], numbers[key] = decision, number
    return decisions


def decisions_fingerprint(path: Path) -> dict[str, str]:
    """Return what tells the decisions of a file from others, under a name for it; nothing where it holds none.

    Raises:
        InputError, OSError: see `read_decisions`.
    """
    decisions = {key: replace(each, source="") for key, each in read_decisions(path).items()}
    return {"decisions": hashlib.sha256(_lines(decisions)).hexdigest()} if decisions else {}


_NAMES = frozenset(field.name for field in fields(Decision))


def _decision(line: bytes, where: str) -> Decision:
    try:
        given = msgspec.json.decode(line, type=dict[str, object])
        if unknown := sorted(given.keys() - _NAMES):
            raise InputError(f'{where}: unknown name "{unknown[0]}"', "correct or remove the line")
        decision = msgspec.convert(given, Decision)
    except (msgspec.DecodeError, UnicodeDecodeError) as misfit:
        raise InputError(f"{where}: {misfit}", "correct or remove the line") from None
    if fault := decision.fault:
        raise InputError(f"{where}: {fault}", "correct or remove the line")
    return decision


def _lines(decisions: Mapping[DecisionKey, Decision]) -> bytes:
    return b"".join(_line(decisions[key]) for key in sorted(decisions))


def _line(decision: Decision) -> bytes:
    values: Mapping[str, object] = msgspec.to_builtins(decision)
    return msgspec.json.encode({name: value for name, value in values.items() if value not in ("", None)}) + b"\n"
