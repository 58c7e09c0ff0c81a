"""Content folders made for tests, with pictures and texts whose truth is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from config import PREPARE
from figtune.core.jsonl import read_records, write_records
from figtune.dataset.candidates import Candidate
from figtune.dataset.records import CANDIDATES_FILE
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureRecord, Mention, PaperRecord

CHOICES = replace(
    PREPARE,
    tasks=("caption", "explain", "analyze", "describe"),
    min_side_pixels=32,
    min_ink_share=0.002,
    max_words=120,
    max_context_words=80,
    min_quality=0.0,
    near_duplicate_bits=12,
    minitrain_examples=5,
    val_fraction=0.2,
    test_fraction=0.3,
)

PLAIN_FIGURE = FigureRecord(
    paper_id="paper",
    figure_id="paper-figure-1",
    figure_type="Figure",
    name="1",
    page=1,
    caption="Figure 1. Overview of the network. The Encoder turns the image into tokens. The Decoder writes the text.",
    caption_box=(50.0, 300.0, 290.0, 330.0),
    region_box=(50.0, 100.0, 290.0, 290.0),
    crop="crops/paper/paper-figure-1.png",
    crop_size=(160, 120),
    dpi=200,
    kind="diagram",
    kind_score=0.9,
    confidence=0.9,
    reason="",
    figure_text="Image\nEncoder\nTokens\nDecoder\nText",
    panels=(),
    mentions=(
        Mention(
            page=2,
            section="3. Method",
            text="Figure 1 shows the whole network. The Encoder is a stack of attention layers over image tokens, and "
            "the Decoder takes their output to generate the text word by word. Training takes two days.",
        ),
        Mention(
            page=3,
            section="4. Results",
            text="In Figure 1, deeper stacks improve accuracy more because errors drop, which suggests a better fit.",
        ),
        Mention(
            page=3,
            section="4. Results",
            text="The dashed arrows of Figure 1 mark what is left out at night, and grey boxes mark frozen parts.",
        ),
    ),
)


def paper(paper_id: str) -> PaperRecord:
    """A paper that was read well."""
    return PaperRecord(
        paper_id=paper_id,
        file=f"{paper_id}.pdf",
        sha256=hashlib.sha256(paper_id.encode()).hexdigest(),
        pages=8,
        status="ok",
        reason="",
        title=f"On {paper_id}",
        figures=1,
        tables=0,
    )


def figure(paper_id: str, name: str = "1", like: FigureRecord = PLAIN_FIGURE) -> FigureRecord:
    """A figure of another paper or number, otherwise like the given one, its texts renumbered."""
    figure_id = f"{paper_id}-{like.figure_type.lower()}-{name}"
    label = f"{like.figure_type} {name}"
    mentions = tuple(
        Mention(page=each.page, section=each.section, text=each.text.replace("Figure 1", label))
        for each in like.mentions
    )
    return replace(
        like,
        paper_id=paper_id,
        figure_id=figure_id,
        name=name,
        caption=like.caption.replace("Figure 1", label),
        crop=None if like.crop is None else f"crops/{paper_id}/{figure_id}.png",
        mentions=mentions,
    )


def picture(seed: str, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Coarse random blocks: another seed is another picture to any perceptual hash."""
    numbers = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
    blocks = numbers.integers(0, 256, size=(12, 16), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BILINEAR)


def write_content(folder: Path, figures: Sequence[FigureRecord]) -> Path:
    """A content folder with these figures, each with a picture of its own, in the order of their papers."""
    papers = sorted({each.paper_id for each in figures})
    ordered = [each for paper_id in papers for each in figures if each.paper_id == paper_id]
    write_records(folder / PAPERS_FILE, [paper(paper_id) for paper_id in papers])
    write_records(folder / FIGURES_FILE, ordered)
    for each in figures:
        if each.crop is not None:
            save(picture(each.figure_id), folder / each.crop)
    return folder


def candidates_of(dataset_dir: Path) -> list[Candidate]:
    """Candidates of a data set that was prepared."""
    return read_records(dataset_dir / CANDIDATES_FILE, Candidate, "prepare")


def save(image: Image.Image, path: Path) -> None:
    """Write a picture, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
