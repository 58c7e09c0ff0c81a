"""A PDF opened with PyMuPDF. Only this module, `page` and `text_layer` see PyMuPDF's untyped objects.

Not thread-safe, as PyMuPDF is not: use processes. Each page is interpreted once into a MuPDF display list, from which
its text, graphics and pixels are all taken; the lists of the last few pages are kept.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from figtune.core.errors import InputError
from figtune.pdf.geometry import Box
from figtune.pdf.page import PageGraphics, PageText, Word, scale_page, sideways
from figtune.pdf.text_cleanup import count_meaningless
from figtune.pdf.text_layer import box_of, drawing_of, drawn_once, lines_of, words_of

GreyImage = NDArray[np.uint8]
"""uint8[H, W], 255 is white."""

# PyMuPDF 2 would import two more packages by itself; a module that is None counts as not installed. The first is a
# neural page layout, which `get_text` then runs: over a CPU second and 55 MB a process, and 0.4 CPU seconds a page. The
# second writes Markdown, and imports onnxruntime, which writes a file into the temporary folder and sends telemetry.
sys.modules["pymupdf.layout"] = None  # type: ignore[assignment]
sys.modules["pymupdf4llm"] = None  # type: ignore[assignment]
import pymupdf  # noqa: E402

# The box of a character reaches from its font's descender to its ascender, as the rules of extraction were made for.
pymupdf.TOOLS.unset_quad_corrections(True)
pymupdf.TOOLS.mupdf_display_errors(False)
pymupdf.TOOLS.mupdf_display_warnings(False)

# ActualText is ignored because some papers put LaTeX source there, whose words have no place on the page.
_TEXT_FLAGS: int = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP | pymupdf.TEXT_IGNORE_ACTUALTEXT
_GRAPHICS_FLAGS: int = _TEXT_FLAGS | pymupdf.TEXT_PRESERVE_IMAGES | pymupdf.TEXT_COLLECT_VECTORS
_IMAGE_BLOCK, _VECTOR_BLOCK = 1, 3
_C_LIBRARY = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
_KEPT_DISPLAY_LISTS = 16
_KEPT_GRAPHICS = 50_000  # images and paths of a document, which take 12 MB
_STORE_SHRINK = 50  # percent of MuPDF's cache of decoded images to drop whenever a page is let go
_PAGES_OF_A_FILE = 100  # that are interpreted before it is opened anew
_POINTS_PER_INCH = 72.0
_SEEN = 24  # of 255 greys by which text must differ from what lies below it
_LOSSES = re.compile("zlib error|read error; treating|cannot load object|page may not be correct")
"""Warnings of MuPDF where data is lost. None comes up in 56 sound papers, whose warnings are of fonts and links."""
# PyMuPDF turns some of MuPDF's errors into the first two and lets others through as they are.
_MUPDF_ERRORS: tuple[type[Exception], ...] = (RuntimeError, ValueError, OSError, pymupdf.mupdf.FzErrorBase)


class UnreadablePaperError(InputError):
    """A file that is no PDF, is encrypted, has no pages, or is too damaged to read."""


class Document:
    """An open PDF; use it as a context manager.

    Raises:
        UnreadablePaperError: from the constructor and from every method that reads a page.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        pymupdf.TOOLS.reset_mupdf_warnings()  # kept for the whole process
        self._file = _open(path)
        self._display_lists: OrderedDict[int, Any] = OrderedDict()
        self._graphics: dict[int, PageGraphics] = {}
        self._room_for_graphics = _KEPT_GRAPHICS
        self._interpreted = 0
        self._colored = -1
        self.scale = 1.0
        self._turns: dict[int, int] = {}
        self.page_count: int = self._file.page_count
        self._repaired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def repaired(self) -> bool:
        """True where the file is so damaged that MuPDF rebuilt its table of objects, or read parts in part only.

        That shows when the file is opened or when a damaged part is first needed: ask once everything is read.
        """
        if _LOSSES.search(pymupdf.TOOLS.mupdf_warnings(reset=False)):
            self._repaired = True
        return self._repaired or bool(self._file.is_repaired)

    def close(self) -> None:
        """Let go of the file and of what MuPDF has cached for it."""
        self._display_lists.clear()
        self._graphics.clear()
        self._file.close()
        pymupdf.TOOLS.store_shrink(100)

    def text(self, index: int) -> PageText:
        """Return the text layer of the page at `index` (from 0)."""
        with self._reading(index):
            display_list = self._display_list(index)
            box = box_of(display_list.rect)
            blocks = pymupdf.TextPage(display_list.get_textpage(_TEXT_FLAGS)).extractDICT()["blocks"]
            lines = drawn_once(tuple(lines_of(blocks)))
            turn = self._turns.get(index, 0)
            spans = [span["text"] for block in blocks for line in block["lines"] for span in line["spans"]]
            useless = sum(map(count_meaningless, spans))
            lying = 0 if turn else sideways(blocks)
            return PageText(index, box.x1, box.bottom, lines, turn, self.scale, lying, useless)

    def set_view(self, scale: float, turns: Mapping[int, int]) -> None:
        """Read pages from now on at another scale, and some of them turned.

        Args:
            scale: points for a point of the page.
            turns: degrees clockwise by index of a page, beyond its own /Rotate.
        """
        self.scale, self._turns = scale, dict(turns)
        self._graphics.clear()
        self._reopen()

    def words(self, text: PageText) -> tuple[Word, ...]:
        """Return the words of the page that `text` was read from, in the order of its lines."""
        with self._reading(text.index):
            found = pymupdf.TextPage(self._display_list(text.index).get_textpage(_TEXT_FLAGS)).extractWORDS()
            return tuple(words_of(found, text))

    def graphics(self, index: int) -> PageGraphics:
        """Return images and vector paths of the page at `index`; those of the first pages are kept."""
        if index not in self._graphics:
            graphics = self._read_graphics(index)
            self._room_for_graphics -= len(graphics.drawings) + len(graphics.images)
            if self._room_for_graphics < 0:
                return graphics
            self._graphics[index] = graphics
        return self._graphics[index]

    def _read_graphics(self, index: int) -> PageGraphics:
        with self._reading(index):
            blocks = pymupdf.TextPage(self._display_list(index).get_textpage(_GRAPHICS_FLAGS)).extractBLOCKS()
            graphics = PageGraphics(
                images=tuple(box_of(block) for block in blocks if block[6] == _IMAGE_BLOCK),
                drawings=tuple(drawing_of(block) for block in blocks if block[6] == _VECTOR_BLOCK),
            )
            _fix_refcount_leak(blocks)
            return graphics

    def grey(self, index: int, dpi: float) -> GreyImage:
        """Return the page at `index` in grey: uint8[H, W], `dpi / 72` pixels a point, rounded up to whole pixels."""
        with self._reading(index), _without_color_profiles():
            scale = dpi / _POINTS_PER_INCH
            pixels = self._display_list(index).get_pixmap(
                matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csGRAY, alpha=0
            )
            rows = np.frombuffer(pixels.samples_mv, dtype=np.uint8).reshape(pixels.height, pixels.stride)
            return rows[:, : pixels.width].copy()

    def text_ink(self, index: int, box: Box, dpi: float) -> NDArray[np.bool_] | None:
        """Return the pixels inside `box` (points) of the page at `index` that its text changes: bool[H, W] at `dpi`.

        Text that is covered, clipped, invisible or of the colour of its ground changes none. None where the text is
        not of the page's text layer.
        """
        with self._reading(index), _without_color_profiles():
            painted = [self._painted(index, box, dpi / _POINTS_PER_INCH, with_text=text) for text in (True, False)]
        changed: NDArray[np.bool_] = np.abs(painted[0].astype(np.int16) - painted[1]) >= _SEEN
        return changed

    def _painted(self, index: int, box: Box, scale: float, *, with_text: bool) -> GreyImage:
        mupdf = pymupdf.mupdf
        area = pymupdf.IRect(pymupdf.Rect(box.x0, box.top, box.x1, box.bottom) * scale)
        pixels = pymupdf.Pixmap(pymupdf.csGRAY, area, 0)
        pixels.clear_with(255)
        device = mupdf.fz_new_draw_device(mupdf.FzMatrix(scale, 0, 0, scale, 0, 0), pixels.this)
        if not with_text:
            device.m_internal.fill_text = device.m_internal.stroke_text = None
        everything = mupdf.FzRect(mupdf.fz_infinite_rect)
        mupdf.fz_run_display_list(
            self._display_list(index).this, device, mupdf.FzMatrix(), everything, mupdf.FzCookie()
        )
        mupdf.fz_close_device(device)
        rows = np.frombuffer(pixels.samples_mv, dtype=np.uint8).reshape(pixels.height, pixels.stride)
        return rows[:, : pixels.width].copy()

    def turned_back(self, index: int, pixels: GreyImage) -> GreyImage:
        """Return pixels of the page at `index` as a reader shows it: uint8[H, W] or uint8[W, H]."""
        return np.rot90(pixels, self._turns.get(index, 0) // 90)

    def color(self, index: int, box: Box, dpi: float) -> NDArray[np.uint8]:
        """Return the part of the page at `index` inside `box` (points): uint8[H, W, 3], RGB, at `dpi`."""
        with self._reading(index):
            self._shrink_store(index)
            scale = dpi / _POINTS_PER_INCH
            clip = pymupdf.Rect(box.x0, box.top, box.x1, box.bottom)
            pixels = self._display_list(index).get_pixmap(
                matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csRGB, alpha=0, clip=clip
            )
            rows = np.frombuffer(pixels.samples_mv, dtype=np.uint8).reshape(pixels.height, pixels.stride)
            return rows[:, : pixels.width * 3].reshape(pixels.height, pixels.width, 3).copy()

    def _display_list(self, index: int) -> Any:
        if index in self._display_lists:
            self._display_lists.move_to_end(index)
            return self._display_lists[index]
        if self._interpreted == _PAGES_OF_A_FILE:
            self._reopen()
        self._interpreted += 1
        if self.scale != 1.0:
            scale_page(self._file, index, self.scale)
        page = self._file[index]
        if index in self._turns:
            page.set_rotation((page.rotation + self._turns[index]) % 360)
        display_list = _display_list_of(page)
        self._display_lists[index] = display_list
        if len(self._display_lists) > _KEPT_DISPLAY_LISTS:
            self._display_lists.popitem(last=False)
            pymupdf.TOOLS.store_shrink(_STORE_SHRINK)
        return display_list

    def _shrink_store(self, index: int) -> None:
        """Let go of the pictures of the page before, of which MuPDF would keep 256 MB. In a short document they are
        those that the search for figures has decoded."""
        if index != self._colored and self.page_count > _KEPT_DISPLAY_LISTS:
            pymupdf.TOOLS.store_shrink(100)
            _malloc_trim()
        self._colored = index

    def _reopen(self) -> None:
        """Let go of the objects and fonts that MuPDF keeps for an open file: 0.5 MB a page."""
        self._display_lists.clear()
        self._repaired = self.repaired
        self._file.close()
        pymupdf.TOOLS.store_shrink(100)
        _malloc_trim()
        self._file = _open(self.path)
        self._interpreted = 0

    @contextmanager
    def _reading(self, index: int) -> Iterator[None]:
        try:
            yield
        except _MUPDF_ERRORS as error:
            raise UnreadablePaperError(
                f"page {index + 1} of {self.path.name} cannot be read ({error})", "repair or replace the file"
            ) from error


@contextmanager
def _without_color_profiles() -> Iterator[None]:
    """Take colours as they are: their profiles cost a tenth of a grey render and move greys by a shade."""
    pymupdf.TOOLS.set_icc(False)
    try:
        yield
    finally:
        pymupdf.TOOLS.set_icc(True)


def _fix_refcount_leak(blocks: list[Any]) -> None:
    """Drop the reference that PyMuPDF 2.0's extractBLOCKS forgets to drop for every tuple it returns: 40 KB a page. A
    tuple without one too many, as other releases may return it, is left alone."""
    alone = [(len(blocks),)]
    expected = sys.getrefcount(alone[0])
    for number in range(len(blocks)):
        if sys.getrefcount(blocks[number]) == expected + 1:
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(blocks[number]))


def _malloc_trim() -> None:
    """Return freed heap memory to the system: MuPDF's is scattered and glibc keeps it. No effect elsewhere
    (malloc_trim(3) is glibc's own)."""
    trim = getattr(_C_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)


def _open(path: Path) -> Any:
    try:
        file = pymupdf.open(**_source(path), filetype="pdf")
        pages: int = 0 if file.needs_pass else file.page_count
    except _MUPDF_ERRORS as error:
        problem = str(error).replace(str(path), path.name)
        raise UnreadablePaperError(
            f"{path.name} is not a readable PDF ({problem})", "replace it with an intact PDF"
        ) from error
    if file.needs_pass:
        raise UnreadablePaperError(f"{path.name} is encrypted", "give a copy without a password")
    if pages == 0:
        raise UnreadablePaperError(f"{path.name} has no pages", "replace it with an intact PDF")
    return file


def _source(path: Path) -> dict[str, Any]:
    """Return what PyMuPDF opens: the path, or the file's bytes where the path is not UTF-8, as MuPDF takes no other."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return {"stream": path.read_bytes()}
    return {"filename": path}


def _display_list_of(page: Any) -> Any:
    """Interpret a page as its authors made it: its contents, and the annotations that are part of a publication.

    Stamps, notes, drawings and highlights are a reader's, and so is what was typed into a form.
    """
    mupdf = pymupdf.mupdf
    kept = [annotation for annotation in _annotations(page) if _is_authors_own(annotation)]
    if not kept:
        return page.get_displaylist(annots=0)
    display_list = mupdf.fz_new_display_list(mupdf.fz_bound_page(page.this))
    device = mupdf.fz_new_list_device(display_list)
    mupdf.fz_run_page_contents(page.this, device, mupdf.FzMatrix(), mupdf.FzCookie())
    for annotation in kept:
        mupdf.pdf_run_annot(annotation, device, mupdf.FzMatrix(), mupdf.FzCookie())
    mupdf.fz_close_device(device)
    return pymupdf.DisplayList(display_list)


def _annotations(page: Any) -> Iterator[Any]:
    """Yield the annotations of a page, form fields included."""
    mupdf = pymupdf.mupdf
    pdf_page = mupdf.pdf_page_from_fz_page(page.this)
    for first, following in (
        (mupdf.pdf_first_annot, mupdf.pdf_next_annot),
        (mupdf.pdf_first_widget, mupdf.pdf_next_widget),
    ):
        annotation = first(pdf_page)
        while annotation.m_internal:
            yield annotation
            annotation = following(annotation)


def _is_authors_own(annotation: Any) -> bool:
    """Return True for an embedded film or scene, or a button, which LaTeX's animations are made of."""
    mupdf = pymupdf.mupdf
    kind = mupdf.pdf_annot_type(annotation)
    if kind == mupdf.PDF_ANNOT_WIDGET:
        return bool(mupdf.pdf_widget_type(annotation) == mupdf.PDF_WIDGET_TYPE_BUTTON)
    return kind in (
        mupdf.PDF_ANNOT_SCREEN,
        mupdf.PDF_ANNOT_MOVIE,
        mupdf.PDF_ANNOT_RICH_MEDIA,
        mupdf.PDF_ANNOT_3D,
    )
