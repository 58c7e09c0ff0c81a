"""The quality of a target: each share and fault moves it as stated."""

from __future__ import annotations

from figtune.dataset.candidates import quality_of
from tests.rows import each_row

GOOD = (
    "The encoder reads the image and turns patches into tokens. Its memory holds earlier frames, so that the decoder "
    "can follow people who were hidden behind others for a while."
)
KNOWN = "Encoder Decoder Memory Tokens"


def test_a_telling_text_is_perfect() -> None:
    assert quality_of(GOOD, "Explain this figure.", KNOWN).score == 1.0


@each_row(
    ("completion", "prompt", "known", "share"),
    [
        ("The encoder reads all tokens here.", "", KNOWN, "length"),
        (GOOD, GOOD, KNOWN, "new"),
        (GOOD, "", "Cats", "support"),
        ("The figure shows the encoder and the decoder of it all.", "", KNOWN, "telling"),
    ],
)
def test_each_share_lowers_the_score(completion: str, prompt: str, known: str, share: str) -> None:
    quality = quality_of(completion, prompt, known)
    assert getattr(quality, share) < 0.5
    assert quality.score < 0.9


@each_row(
    ("completion", "fault"),
    [(f"It is good. {GOOD}", "dangling_opening"), (f"{GOOD} The loss Lcls.", "odd_symbols"), (GOOD[:-1], "open_end")],
)
def test_each_fault_is_named_and_costs(completion: str, fault: str) -> None:
    quality = quality_of(completion, "", KNOWN)
    assert quality.faults == (fault,)
    assert quality.score <= 0.75
