"""Where sentences of papers end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from figtune.dataset.sentences import count_words, split_sentences, whole_sentences
from tests.rows import each_row

HARD = [
    "As shown in Fig. 3, the model works.|Compared to Smith et al. [12], it is faster.|We set α = 0.5 (cf. Eq. 4).",
    "Results vs. the baseline, i.e., ResNet, e.g. on COCO.|See Sec. 4.2 and Figs. 2 and 3.|Tab. 1 shows it.",
    "The parts of it.|a. Views are chosen.|They are fused.|b. It is trained on it.|c. The end.",
    "(a). Motion is estimated.|(b). It is compensated.",
    "(a) Input image.|(b) Output of our method.|(c) Ground truth.",
    "Left: the encoder.|Right: the decoder, etc.|Best viewed in color.",
    "We use the method of He et al.|The network has 3.5M params.|It runs at 30 fps.",
    'Is it good?|Yes!|"It works."|Then Eqs. (3) and (4) hold.|Fig. 5(a) shows more.',
    "Results on nuScenes val. set (No. 3).|GT denotes ground truth.|Ref. [3] is used.",
    "The loss is used.|σ is the sigmoid.|It is small, approx. 5 m. wide.",
    "Our method outperforms NeRF.|Zoom in.",
    "The map is sharp. [12]|We follow A. B. Smith.|Then B is trained.",
    "We first train A.|Then B is trained.|Stage I.|Training of the model.",
    "It reaches 0.5.|3D boxes follow.|1) Views are chosen.|2) Features are computed.",
    "Nets w.o. Evolution and i.i.d. Samples are used.|They fail.",
    "The U.S. data is used, cf. Alg. 1 and Suppl. Mat. for more.|Dr. Who agrees.",
]


@each_row("marked", HARD)
def test_marks_of_papers_do_not_end_sentences(marked: str) -> None:
    sentences = tuple(marked.split("|"))
    assert split_sentences(" ".join(sentences)) == sentences


def test_a_missing_space_after_a_full_stop_is_put_in() -> None:
    assert split_sentences("It outperforms NeRFs.Best viewed large.") == ("It outperforms NeRFs.", "Best viewed large.")


@given(st.text(alphabet="ab A.!? ([)]1F", max_size=80))
def test_no_text_is_lost(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_sentences_are_taken_whole_or_not_at_all() -> None:
    sentences = ("One two three.", "Four five.", "Six.")
    assert whole_sentences(sentences, 5) == sentences[:2]
    assert whole_sentences(sentences, 4) == sentences[:1]
    assert whole_sentences(sentences, 2) == ()


def test_words_have_a_letter_or_a_digit() -> None:
    assert count_words("The loss → 0.5 – at 30 fps .") == 6


def test_a_full_stop_glued_to_a_citation_ends_a_sentence() -> None:
    assert split_sentences("It follows LaneNet [26].It is small.") == ("It follows LaneNet [26].", "It is small.")
