"""PDFs made for tests: a small good paper, and files of the kinds that make readers stumble."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pymupdf

BODY = (
    "We measure how a probe behaves when the light changes, and find that it behaves well. The reason is that every "
    "reading is compared with the one before it, so that a slow drift is taken out. Nothing else is needed. "
)


def write_paper(path: Path, *, pages: int = 2, title: str = "A Small Paper on Probes", caption: str = "A box.") -> None:
    """A one-column paper with a title, an abstract, a figure and a table on every page, and mentions of them."""
    document = pymupdf.open()
    for number in range(1, pages + 1):
        page = document.new_page(width=400, height=680)
        if number == 1:
            page.insert_text((60, 70), title, fontname="tibo", fontsize=16)
            page.insert_text((180, 100), "Abstract", fontname="tibo", fontsize=12)
            _paragraph(page, 110, BODY)
            page.insert_text((50, 200), "1. Introduction", fontname="tibo", fontsize=12)
        _paragraph(page, 210, BODY + f"Figure {number} shows a box, and Table {number} counts it. " + BODY)
        _paragraph(page, 545, BODY)
        page.draw_rect(pymupdf.Rect(100, 340, 300, 420), color=(0, 0, 0.5), fill=(0.8, 0.9, 1))
        page.insert_text((180, 385), "probe", fontname="helv", fontsize=9)
        page.insert_text((100, 440), f"Figure {number}. {caption}", fontname="tiro", fontsize=9)
        _table(page, 460)
        page.insert_text((100, 530), f"Table {number}. Counts of the box.", fontname="tiro", fontsize=9)
    document.save(path, garbage=3, deflate=True, no_new_id=True)
    document.close()


def _paragraph(page: pymupdf.Page, top: float, text: str) -> None:
    page.insert_textbox(pymupdf.Rect(50, top, 350, top + 120), text, fontname="tiro", fontsize=10, align=3)


def _table(page: pymupdf.Page, top: float) -> None:
    for line in (0, 16, 54):
        page.draw_line((100, top + line), (300, top + line), width=0.8)
    for row in range(3):
        for column, word in enumerate(("light", "12.5", "0.98")):
            page.insert_text((110 + 70 * column, top + 12 + 18 * row), word, fontname="tiro", fontsize=9)


def write_encrypted(path: Path) -> None:
    """Opens with a password only."""
    write_paper(path)
    with pymupdf.open(path) as document:
        data = document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="secret")
    path.write_bytes(data)


def write_truncated(path: Path) -> None:
    """The first part of a paper, as a broken download leaves it."""
    write_paper(path)
    path.write_bytes(path.read_bytes()[:700])


def write_empty(path: Path) -> None:
    """No bytes at all."""
    path.write_bytes(b"")


def write_web_page(path: Path) -> None:
    """Write the page that a download behind a login gives."""
    path.write_text("<html><body>Please log in to read this article.</body></html>")


def write_without_pages(path: Path) -> None:
    """A catalog and an empty list of pages."""
    _write_objects(path, [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"])


def write_absurd_count(path: Path) -> None:
    """A list of pages that says it holds -1."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>"
    _write_objects(path, [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count -1>>", page])


def write_scan(path: Path) -> None:
    """Pictures of pages."""
    write_paper(path)
    scanned = pymupdf.open()
    with pymupdf.open(path) as document:
        for page in document:
            scanned.new_page(width=400, height=680).insert_image(page.rect, pixmap=page.get_pixmap(dpi=72))
    scanned.save(path)
    scanned.close()


def write_page_of_no_size(path: Path) -> None:
    """A page 0 points wide."""
    _write_page(path, b"/MediaBox[0 0 0 0]")


def write_huge_page(path: Path) -> None:
    """A page as large as the format allows, five metres square, with something to render on it."""
    page = b"/MediaBox[0 0 14400 14400]/Contents 5 0 R/Resources<</Font<</F 4 0 R>>>>"
    _write_page(path, page, FONT, _stream(b"", WORDS + b" 100 100 9000 9000 re f"))


def write_endless_page(path: Path) -> None:
    """A form that draws the next form twenty times, ten levels deep."""
    names = b"".join(b"/X%d %d 0 R" % (level, level) for level in range(6, 16))
    resources = b"/Resources<</Font<</F 4 0 R>>/XObject<<%s>>>>" % names
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 600 800]" + resources
    forms = [_stream(form, b"/X%d Do " % (level + 1) * 20) for level in range(6, 15)]
    page = b"/MediaBox[0 0 600 800]/Contents 5 0 R" + resources
    _write_page(path, page, FONT, _stream(b"", WORDS + b"/X6 Do"), *forms, _stream(form, b"0 0 9 9 re f"))


def write_image_bomb(path: Path) -> None:
    """A picture of 12,000 x 12,000 pixels in a few kilobytes."""
    side = 12_000
    runs = b"\x81\x55" * (side * side // 128) + b"\x80"
    image = b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8" % (side, side)
    packed = _stream(image + b"/Filter[/FlateDecode/RunLengthDecode]", zlib.compress(runs, 1))
    page = b"/MediaBox[0 0 600 800]/Contents 5 0 R/Resources<</Font<</F 4 0 R>>/XObject<</I 6 0 R>>>>"
    _write_page(path, page, FONT, _stream(b"", WORDS + b"q 500 0 0 500 50 50 cm /I Do Q"), packed)


FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Times-Roman>>"
WORDS = b"BT /F 10 Tf 50 700 Td 12 TL %s ET " % (b"(Enough words on a page to count as text and not as a scan) ' " * 5)


def _write_page(path: Path, page: bytes, *more: bytes) -> None:
    """A PDF of one page (object 3) that has these entries, and more objects from 4 on."""
    catalog = b"<</Type/Catalog/Pages 2 0 R>>"
    pages = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
    _write_objects(path, [catalog, pages, b"<</Type/Page/Parent 2 0 R" + page + b">>", *more])


def _write_objects(path: Path, objects: list[bytes]) -> None:
    """A PDF from its objects 1, 2, ...; the first is the catalog."""
    data, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count, start = len(objects) + 1, len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    data += b"trailer\n<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (count, start)
    path.write_bytes(data)


def _stream(entries: bytes, data: bytes) -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(data), data)


UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "encrypted": (write_encrypted, "is encrypted"),
    "empty": (write_empty, "is not a PDF"),
    "web page": (write_web_page, "is not a PDF"),
    "no pages": (write_without_pages, "has no pages"),
    "absurd count": (write_absurd_count, "is not a readable PDF"),
    "truncated": (write_truncated, "is damaged or empty"),
    "scan": (write_scan, "has no text layer: it seems to be a scan"),
    "no size": (write_page_of_no_size, "is damaged or empty"),
    "huge page": (write_huge_page, "needs more than 400 MB of memory"),
}
"""Ways of writing a file that gives nothing within 400 MB, each with words of the reason."""
