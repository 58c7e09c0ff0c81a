"""Where the text of a paper comes from: its text layer, or OCR on the pages where that is missing or scrambled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from figtune.extraction.settings import OcrMode
from figtune.pdf.compressed_pages import read_texts
from figtune.pdf.layer_faults import faults_in_words, layer_faults
from figtune.pdf.ocr_document import OcrDocument
from figtune.pdf.ocr_engine import INSTALL, engine_version
from figtune.pdf.page import PageText


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
