"""Text that a file draws twice at one place, as some producers do to make it bold."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from figtune.pdf.page import Line, Span

_LEAST = 8  # characters of a line that tells that a page's text is drawn twice
_SHARE = 0.5  # of the lines with so many characters
_DENSE = 0.35  # em a character, at most, where two stand at each place: Times has 0.4 to 0.5 where one does
_SAME_PLACE = 1.0  # points


def drawn_once(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines of a page, each with its text once. Positions stay: a line drawn anew is left empty."""
    doubled = [line for line in lines if len(line.text) >= _LEAST and _half(line)]
    long = sum(len(line.text) >= _LEAST for line in lines)
    repeated = _repeated(lines) if long else frozenset()
    if len(doubled) + len(repeated) < _SHARE * long:
        return tuple(lines)
    return tuple(replace(line, text="") if number in repeated else _halved(line) for number, line in enumerate(lines))


def _half(line: Line) -> str:
    """What a line says where it says it twice on the room of once, else nothing."""
    text = line.text
    middle = len(text) // 2
    twice = text[:middle] == text[-middle:] and len(text) - 2 * middle <= 1
    return text[:middle] if twice and line.box.width < _DENSE * line.size * len(text) else ""


def _halved(line: Line) -> Line:
    half = _half(line)
    if not half:
        return line
    spans: list[Span] = []
    left = len("".join([span.text for span in line.spans])) // 2
    for span in line.spans:
        if left > 0:
            spans.append(replace(span, text=span.text[:left]))
        left -= len(span.text)
    return replace(line, text=half, spans=tuple(spans))


def _repeated(lines: Sequence[Line]) -> frozenset[int]:
    """Positions of lines that say what an earlier one says at the same place."""
    seen: dict[tuple[str, int], Line] = {}
    again: set[int] = set()
    for number, line in enumerate(lines):
        if not line.text:
            continue
        first = seen.setdefault((line.text, round(line.baseline / 2)), line)
        if first is not line and abs(first.box.x0 - line.box.x0) <= _SAME_PLACE:
            again.add(number)
    return frozenset(again)
