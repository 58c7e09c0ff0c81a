"""Which parts of a caption are about one panel alone."""

from __future__ import annotations

from figtune.dataset.panel_captions import panel_parts
from figtune.dataset.references import FigureRef
from figtune.dataset.task_prompts import TASKS
from figtune.extraction.records import Panel
from tests.rows import each_row

FIGURE = FigureRef("Figure", "3")


def parts(caption: str, **texts: str) -> dict[str, str]:
    panels = [Panel(label=label, box=None, caption=text) for label, text in texts.items()]
    return {part.label: " ".join(part.sentences) for part in panel_parts(panels, caption, FIGURE)}


@each_row(
    ("caption", "texts", "expected"),
    [
        (
            "A list. (a) The input image. (b) The output mask [3].",
            {"a": "The input image", "b": "The output mask [3]"},
            {"a": "The input image.", "b": "The output mask."},
        ),
        (
            "Two scenes: (a) input, (b) coarse depth and (c) refined depth.",
            {"a": "input", "b": "coarse depth", "c": "refined depth"},
            {"a": "Input.", "b": "Coarse depth.", "c": "Refined depth."},
        ),
        (
            "(a) It fails at speed (b) Ours does not.",
            {"a": "It fails at speed", "b": "Ours does not"},
            {"a": "", "b": "Ours does not."},
        ),
        (
            "Measured by (a) mirrors and (b) ours when it is late.",
            {"a": "mirrors", "b": "ours when it is late"},
            {"a": "", "b": ""},
        ),
        (
            "Top: (a) Free path. In (a), it is long.",
            {"a": "Free path. In"},
            {"a": "Free path."},
        ),
        (
            "Masks. (a) Cars in a street. All are red. (b) Masks of cars in (a). (c) Loss of data shown in a (red).",
            {
                "a": "Cars in a street. All are red.",
                "b": "Masks of cars in (a).",
                "c": "Loss of data shown in a (red).",
            },
            {"a": "Cars in a street. All are red.", "b": "", "c": ""},
        ),
        ("Fetched from a table (d) but with others (c).", {"d": "but with others"}, {"d": ""}),
        (
            "Masks. (a) Highlighting the cars in a street. (b) Training the network.",
            {"a": "Highlighting the cars in a street", "b": "Training the network"},
            {"a": "", "b": "Training the network."},
        ),
        ("Both scenes.", {"a": "(a) Sky above.", "b": ""}, {"a": "Sky above."}),
    ],
)
def test_only_lists_have_parts(caption: str, texts: dict[str, str], expected: dict[str, str]) -> None:
    assert parts(caption, **texts) == expected


def test_every_request_for_a_text_has_a_place_for_its_panel() -> None:
    requests = [phrasing for entry in TASKS if entry.is_text for phrasing in entry.phrasings]
    assert requests
    assert all("{thing}" in request for request in requests)
