"""Source of the text of a paper: its text layer, or OCR on the pages where that is missing or scrambled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload
from zlib import compress, decompress

from msgspec import msgpack

from figtune.extraction.settings import OcrMode
from figtune.pdf.document import Document
from figtune.pdf.layer_faults import faults_in_words, layer_faults
from figtune.pdf.ocr import INSTALL, engine_version
from figtune.pdf.ocr_document import OcrDocument
from figtune.pdf.page import PageText, count_type_sizes, scale_for

_MANY = 64  # pages: below, unpacking costs more than the memory is worth


class CompressedPages(Sequence[PageText]):
    """Text layers that are unpacked whenever they are asked for: 10 KB a page where the objects take 100."""

    def __init__(self, texts: Iterable[PageText]) -> None:
        self._packed = [compress(msgpack.encode(text), level=1) for text in texts]
        self._decoder = msgpack.Decoder(PageText)

    def __len__(self) -> int:
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> PageText: ...

    @overload
    def __getitem__(self, index: slice) -> list[PageText]: ...

    def __getitem__(self, index: int | slice) -> PageText | list[PageText]:
        if isinstance(index, slice):
            return [self._decompressed(packed) for packed in self._packed[index]]
        return self._decompressed(self._packed[index])

    def _decompressed(self, packed: bytes) -> PageText:
        return self._decoder.decode(decompress(packed))


def read_texts(document: Document) -> Sequence[PageText]:
    """The text layer of every page, in order; packed where there are many. From here on `document` shows pages that lie
    on their side upright, and body type of an uncommon size at a common one.

    Raises:
        UnreadablePaperError: a page cannot be read.
    """
    sizes: Counter[float] = Counter()
    turns: dict[int, int] = {}
    texts = _kept(_counted(document, sizes, turns), document.page_count)
    scale = scale_for(sizes)
    if scale == 1.0 and not turns:
        return texts
    document.set_view(scale, turns)
    anew = (
        document.text(index) if scale != 1.0 or index in turns else texts[index] for index in range(document.page_count)
    )
    return _kept(anew, document.page_count)


def _counted(document: Document, sizes: Counter[float], turns: dict[int, int]) -> Iterator[PageText]:
    for index in range(document.page_count):
        text = document.text(index)
        count_type_sizes(text.lines, sizes)
        if text.sideways:
            turns[index] = text.sideways
        yield text


def _kept(texts: Iterable[PageText], count: int) -> Sequence[PageText]:
    return CompressedPages(texts) if count > _MANY else tuple(texts)


@dataclass(frozen=True, slots=True)
class TextSource:
    """The text of all pages of a paper, and where it comes from."""

    texts: Sequence[PageText]
    reason: str
    """Reason for OCR: the pages whose text layer is of no use, or that it was asked for; empty for a sound layer."""
    engine: str
    """Engine that has read pages, with its version; empty where none has."""
    unread: str
    """Reason for OCR not having read the pages that need it; empty otherwise."""


def text_source(document: OcrDocument, mode: OcrMode) -> TextSource:
    """Read the text of all pages, by OCR where `mode` and the text layer ask for it.

    Raises:
        UnreadablePaperError: a page cannot be read.
        ResourceError: OCR is installed and cannot read its model.
    """
    texts = read_texts(document)
    faults = layer_faults(texts, document.graphics)
    reason = faults_in_words(faults, len(texts))
    if mode == "always":
        pages: Sequence[int] = range(len(texts))
        reason = reason or "asked for on all pages"
    else:
        pages = sorted(faults)
    if not pages:
        return TextSource(texts, "", "", "")
    if mode == "never":
        return TextSource(texts, reason, "", "--extract.ocr auto would read it")
    if not (engine := engine_version()):
        return TextSource(texts, reason, "", f"to have it read: {INSTALL}")
    document.recognize(pages)
    return TextSource(read_texts(document), reason, engine, "")
