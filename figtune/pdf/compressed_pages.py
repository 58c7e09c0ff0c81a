"""The text layers of all pages of a document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload
from zlib import compress, decompress

from msgspec import msgpack

from figtune.pdf.document import Document
from figtune.pdf.page import PageText

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
    """The text layer of every page, in order; packed where there are many.

    Raises:
        UnreadablePaperError: a page cannot be read.
    """
    pages = (document.text(index) for index in range(document.page_count))
    return CompressedPages(pages) if document.page_count > _MANY else tuple(pages)
