"""Which sentences of a citing paragraph speak of the figure."""

from __future__ import annotations

from figtune.dataset.citing_text import FORMULA, CitingText, passages_about, repeats, sentences_of
from figtune.dataset.references import FigureRef
from figtune.dataset.sentence_faults import is_pointer
from figtune.extraction.records import Mention
from tests.rows import each_row

FIGURE = FigureRef("Figure", "3")
SEEN = "Figure 3. The encoder and the decoder. Encoder Decoder Memory bank 0.5"


def read(*texts: str) -> CitingText:
    return passages_about([Mention(page=1, section="Method", text=text) for text in texts], FIGURE, SEEN)


def sentences(*texts: str) -> list[str]:
    return [sentence for passage in read(*texts).found for sentence in passage.sentences]


def test_a_paragraph_is_followed_as_long_as_it_speaks_of_the_figure() -> None:
    paragraph = (
        "We first tried something else. As shown in Fig. 3, the encoder reads the image. "
        "The encoder then fills the memory bank. Training takes two days on one machine."
    )
    assert sentences(paragraph) == [
        "As shown in the figure, the encoder reads the image.",
        "The encoder then fills the memory bank.",
    ]


def test_it_ends_where_something_else_is_cited() -> None:
    paragraph = (
        "Fig. 3 shows that the encoder reads one image. In Fig. 4, the encoder meets the memory bank. "
        "The decoder has an encoder."
    )
    assert sentences(paragraph) == ["The figure shows that the encoder reads one image."]


def test_a_sentence_that_leans_back_brings_the_one_before() -> None:
    paragraph = "Each view has its own encoder. It feeds the memory, as Fig. 3 shows."
    assert sentences(paragraph) == ["Each view has its own encoder.", "It feeds the memory, as the figure shows."]


def test_one_that_leans_on_a_result_or_on_another_matter_is_left_out() -> None:
    for before in ("Each view has its own camera.", "Our encoder is better than others."):
        assert sentences(f"{before} This follows from the memory that Fig. 3 shows.") == []


def test_one_that_leans_on_what_was_removed_is_left_out() -> None:
    result = read("Tab. 2 lists all views. It grows as shown in Fig. 3.")
    assert result.found == ()
    assert result.removed["leans_on_removed"] == 1


def test_a_bare_pointer_says_nothing() -> None:
    assert sentences("Results are shown in Fig. 3.", "Fig. 3 shows our encoder.") == []
    assert sentences("Results are shown in Fig. 3. The encoder blurs what the decoder sees.") == [
        "The encoder blurs what the decoder sees."
    ]
    assert sentences("Results are shown in Fig. 3. Competing maps look blurred. Ours took days.") == [
        "Competing maps look blurred."
    ]
    assert sentences("We now show our encoder in Fig. 3.") == []
    assert sentences("Each view has its own camera. This is shown in Fig. 3.") == ["Each view has its own camera."]


@each_row(
    ("text", "rule"),
    [
        ("In Fig. 3 the encoder gains 3.2% over others.", "unseen_number"),
        ("The encoder of Fig. 3 is defined by", "broken_off"),
        ("where the encoder of Fig. 3 is used.", "broken_off"),
        ("Why does the encoder of Fig. 3 blur masks?", "question_asked"),
        ("In Fig. 3 the encoder of index-2 is better than that of index-4.", "unseen_number"),
        ("As Fig. 3 shows, the encoder of Exp. (b) is better.", "unseen_number"),
        ("Compared to Fig. 5, the encoder in Fig. 3 is small.", "other_figure_reference"),
        ("The code below draws the encoder of Fig. 3.", "text_reference"),
        ("Fig. 3 shows an encoder as built by the following command.", "text_reference"),
        ("(the right part of Fig. 3) shows that the encoder blurs.", "broken_off"),
        ("Fig. 3 shows that the encoder has two parts: (i).", "broken_off"),
        ("To fill masks, using the encoder, as shown in Fig. 3.", "broken_off"),
        ("In Fig. 3, the paths of the encoder are denoted as P_i.", "mostly_symbols"),
    ],
)
def test_what_cannot_be_known_is_dropped(text: str, rule: str) -> None:
    result = read(text)
    assert result.found == ()
    assert result.removed[rule] == 1


def test_numbers_that_the_figure_shows_may_be_told() -> None:
    assert sentences("In Fig. 3 the decoder has a threshold of 0.5.") == [
        "In the figure the decoder has a threshold of 0.5."
    ]


def test_a_pointer_stays_where_the_next_sentence_leans_on_it() -> None:
    told = "It has an encoder and a memory bank."
    assert sentences(f"The whole network is shown in Fig. 3. {told}") == [
        "The whole network is shown in the figure.",
        told,
    ]
    assert sentences("It is shown in Fig. 3. It has an encoder and a memory bank.") == []
    components = "The components resemble waves of the encoder."
    assert sentences(f"Fig. 3 shows the components of all views. {components}") == [
        "The figure shows the components of all views.",
        components,
    ]
    assert sentences("The whole network is shown in Fig. 3. The encoder has a memory bank.") == [
        "The encoder has a memory bank."
    ]


def test_a_pointer_at_a_part_stays_as_it_tells_which_part_is_meant() -> None:
    found = "The encoder blurs what the decoder sees."
    assert sentences(f"Fig. 3 (left) shows both networks. {found}") == ["The figure (left) shows both networks.", found]
    assert sentences(f"Fig. 3a shows both networks. {found}") == ["Panel (a) shows both networks.", found]
    assert sentences(f"As seen in Fig. 3a. {found}") == [found]
    assert sentences("Fig. 3a shows both networks. Unfortunately, the encoder blurs what the decoder sees.") == []


def test_what_follows_pointers_at_two_figures_tells_of_both() -> None:
    pointers = ("Fig. 2 shows speed.", "Fig. 3 shows accuracy.")
    told = "The encoder is better than the decoder."
    assert sentences(f"{pointers[1]} {told}") == [told]
    assert sentences(f"{' '.join(pointers)} {told}") == []
    assert sentences(f"Tab. 2 lists speed. {pointers[1]} {told}") == [told]
    assert sentences(f"{' '.join(pointers)} In Fig. 3, the encoder is better.") == [
        "In the figure, the encoder is better."
    ]


def test_what_only_a_sentence_between_has_named_is_left_out() -> None:
    told = "As shown in Fig. 3, the encoder reads the image."
    gap = "Gray rhombuses lie in Tab. 2."
    assert sentences(f"{told} {gap} The decoder of Fig. 3 fills the rhombuses.") == [
        "As shown in the figure, the encoder reads the image."
    ]
    assert sentences(f"{told} {gap} The decoder of Fig. 3 fills the image.")[1:] == [
        "The decoder of the figure fills the image."
    ]
    assert sentences(f"{gap} The decoder of Fig. 3 fills the rhombuses.") == [
        "The decoder of the figure fills the rhombuses."
    ]


@each_row(
    "turn",
    [
        "We propose a decoder with a memory bank and an encoder.",
        "To address the encoder, the memory bank has a decoder.",
        "Motivated by the encoder, the decoder has a memory bank.",
        "To demonstrate the encoder, we take a memory bank.",
        "The encoder and the memory bank fail in Table 4.",
        "Another way to fill the memory bank is the encoder.",
        "By contrast, in this paper, we give the encoder a memory bank.",
        "As detailed in Appendix B, the encoder and the memory bank fail.",
        "However, recent methods rely on an encoder and a memory bank.",
        "Several approaches have improved the encoder and the memory bank.",
        "The encoder and the memory bank are widely used.",
        "Another interesting question is if the encoder fills the memory bank.",
    ],
)
def test_it_ends_where_the_paper_turns_to_something_else(turn: str) -> None:
    told = "As shown in Fig. 3, the encoder reads the image."
    assert sentences(f"{told} {turn} The encoder fills the memory bank.") == [
        "As shown in the figure, the encoder reads the image."
    ]


def test_what_follows_another_figure_tells_of_that_one() -> None:
    leaning = "This is what the encoder of Fig. 3 does."
    assert sentences(f"The decoder fails. {leaning}") == [
        "The decoder fails.",
        "This is what the encoder of the figure does.",
    ]
    assert sentences(f"Fig. 6 shows the decoder. The decoder fails. {leaning}") == []


@each_row(
    "text",
    [
        "The decoder fails, which is similar to that of the encoder (Fig. 3, left).",
        "Similar to the cases of the encoder (Fig. 3), the decoder fails.",
        "Which is the encoder of Fig. 3.",
        "Divide the encoder into two parts as shown in Fig. 3.",
        "As shown in Fig. 3, allowing the encoder to read the memory bank.",
        "There are two encoders (the one of Fig. 3 and the decoder.",
        "In Fig. 3, the encoder reads the space that F(x) warps.",
        "In Fig. 3, the encoder turns f_1 and f_2 into g_1 and g_2.",
        "As shown in Fig. 3, our encoder is better than Doe et al.'s encoder.",
    ],
)
def test_fragments_and_what_is_likened_to_the_figure_go(text: str) -> None:
    assert sentences(text) == []


def test_a_remark_in_brackets_is_followed_only_by_what_the_figure_shows() -> None:
    aside = "The street camera (Fig. 3) reads the image."
    assert sentences(f"{aside} The street camera has an image sensor.") == ["The street camera reads the image."]
    assert sentences(f"{aside} The encoder fills the memory bank.") == [
        "The street camera reads the image.",
        "The encoder fills the memory bank.",
    ]


def test_a_list_is_told_to_its_end() -> None:
    told = "As shown in Fig. 3, the encoder reads the image."
    begun = "The encoder fills the memory bank in two ways: (A) with zeros."
    expected = "As shown in the figure, the encoder reads the image."
    assert sentences(f"{told} {begun}") == [expected]
    assert sentences(f"{told} {begun} (B) The encoder fills the memory bank with ones.")[:2] == [expected, begun]


def test_first_goes_where_no_second_follows() -> None:
    told = "First, the encoder of Fig. 3 reads the image."
    assert sentences(told) == ["The encoder of the figure reads the image."]
    second = "Then the encoder fills the memory bank."
    assert sentences(f"{told} {second}") == ["First, the encoder of the figure reads the image.", second]


def test_rows_that_the_figure_names_may_be_told() -> None:
    found = passages_about(
        [Mention(page=1, section="", text="In Fig. 3, Exp. (b) is worse.")], FIGURE, "Exp. (a) Exp. (b)"
    )
    assert found.found[0].sentences == ("In the figure, Exp. (b) is worse.",)


def test_a_remark_at_the_end_is_not_what_a_sentence_is_about() -> None:
    paragraphs = ("We modify our encoder, shown in Fig. 3.", "Our encoder, shown in Fig. 3, fills the memory bank.")
    assert {passage.sentences: passage.direct for passage in read(*paragraphs).found} == {
        ("We modify our encoder.",): False,
        ("Our encoder fills the memory bank.",): True,
    }


def test_figures_of_the_supplement_are_named_with_it() -> None:
    texts = ("Supplementary Fig. S3 shows that masks blur.", "Supplementary Fig. 3 shows that masks blur.")
    for name, kept in (("S3", texts[0]), ("3", None)):
        found = passages_about(
            [Mention(page=1, section="", text=text) for text in texts], FigureRef("Figure", name), ""
        ).found
        assert [passage.sentences for passage in found] == ([("The figure shows that masks blur.",)] if kept else [])


def test_direct_passages_come_before_remarks_in_brackets() -> None:
    found = read(
        "The encoder (Fig. 3) is small.", "Fig. 3 shows that the decoder is flat.", "The encoder (Fig. 3) is small."
    ).found
    assert [(passage.direct, passage.sentences) for passage in found] == [
        (True, ("The figure shows that the decoder is flat.",)),
        (False, ("The encoder is small.",)),
    ]


def test_repeats_are_told_by_their_words() -> None:
    known = ["the decoder writes.", "The encoder reads the image."]
    assert repeats("The decoder writes.", known)
    assert repeats("As shown in the figure, an encoder reads images.", known)
    assert repeats("The encoder seems to read images.", known)
    assert not repeats("The memory holds frames.", known)
    assert repeats("Our net outperformed three others clearly.", ["Our net surpassed others."])


@each_row(
    ("paragraph", "expected"),
    [
        ("Training details.\nWe train it. It takes long.", ["We train it.", "It takes long."]),
        ("Planning tasks\nWe train it.", ["We train it."]),
        (
            "We add noise. The index grows with the pressure as follows:\nn = no + ns cos(kx), (2)\n"
            "where no is at rest. It is small.",
            ["We add noise.", "The index grows with the pressure.", FORMULA, "It is small."],
        ),
        (
            "The encoder reads. The loss is defined as:\nL = La + Lb (3)\nThe weights are equal.",
            ["The encoder reads.", FORMULA, "The weights are equal."],
        ),
        ("The scores of all maps\ns(p) = maxk sk(fp), (12)\nr = 1 − s (13)", [FORMULA]),
        ("The whole sentence ends.\nL = La + Lb\n", ["The whole sentence ends.", FORMULA]),
        ("Fig. 3 (a) is it.", ["Fig. 3 (a) is it."]),
        ("", []),
    ],
)
def test_sentences_without_heads_and_displayed_formulas(paragraph: str, expected: list[str]) -> None:
    assert list(sentences_of(paragraph)) == expected


def test_nothing_goes_on_behind_a_formula() -> None:
    paragraph = "As Fig. 3 shows, the encoder reads the image.\nf = E(x) (1)\nThe encoder fills the memory bank."
    assert sentences(paragraph) == ["As the figure shows, the encoder reads the image."]


@each_row(
    ("sentence", "pointing"),
    [
        ("The figure shows a comparison of two networks on four data sets where images differ.", True),
        ("Panel (b) shows the accuracy of all networks with thresholds ranging from 0 to 2.", True),
        ("We visually present results in the figure.", True),
        ("The network is trained, and the resulting plot of all its errors is shown in the figure.", True),
        ("We train both networks, with the results plotted in the figure.", True),
        ("The figure can be obtained by training both networks.", True),
        ("Consider the two masks in the figure.", True),
        ("We can also get plots of both networks for each block by calling a function.", True),
        ("Consider the figure, in which deeper networks learn faster.", False),
        ("In the figure we compare the speed of both networks.", True),
        ("In addition to the numbers, we show the best five results of each network in the figure.", True),
        ("In the figure, we show the speed of both networks as the number of layers increases.", True),
        ("Since there are many networks, here we only present four as shown in the figure.", True),
        ("The figure depicts a scenario that exposes the limits.", True),
        ("The figure shows the performance improvements in detection of people over the last ten years.", True),
        ("Thus, the figure confirms our hypothesis.", True),
        ("The results are in line with the observations made in the figure.", True),
        ("The figure confirms that deeper networks learn faster.", False),
        ("We next evaluate the influence of the depth.", True),
        ("Here, we compare both networks on images of cars.", True),
        ("We compare both networks and find that the deeper one learns faster.", False),
        ("As show in panel (b).", True),
        ("To keep the masks, we introduce a novel fusion illustrated in panel (d).", True),
        ("To this end, we employ block expansion, as shown in panel (c).", True),
        ("We use a network to encode the masks, as shown in panel (b).", False),
        (
            "We propose four new layers of neural networks, shown in the figure, which together turn masks of any "
            "size and depth into boxes.",
            False,
        ),
        ("We propose four new layers, shown in the figure, which are small.", True),
        ("We compute two lengths, and plot them for random pairs in panel (b).", True),
        ("The left-most column of the figure shows the image.", False),
        ("The figure shows how accuracy drops with depth.", False),
        ("The figure shows how both networks compute the two losses.", True),
        ("The figure shows the data set in which five classes are new.", True),
        (
            "The figure shows the maps of both networks and of the pyramid, which joins features of all stages into "
            "one stack of maps of a single size.",
            False,
        ),
        ("The figure qualitatively illustrates the uses of both networks.", True),
        ("In the bottom of the figure, we also show the coverage of networks with varying thresholds.", True),
        ("By viewing the first layers (panels a and c), various problems are apparent.", True),
        ("A few observations can be made from the figure.", True),
        ("Both networks read images in two ways (panel a).", True),
        ("The examples highlight three frequently observed failure modes.", True),
        ("We exhibit failures in the figure.", True),
        ("As illustrated in the figure, we visualize the maps of both networks.", True),
        ("We tested whether masks persist at all levels of noise by adding some to each image.", True),
        ("In the figure, we propose a network, named Ours, which joins both.", True),
        ("A group of masks is shown in the left part of the figure.", True),
        ("The width and height of each mask were used for the analyses shown in panels (b) and (c).", True),
        ("Both networks read images in two ways: whole and in parts.", False),
        ("Qualitative results in the figure highlight the advantages of our network.", True),
        ("The figure shows the effectiveness of our network, as it keeps more edges than others.", False),
        ("For both networks, we show the finetuned results.", True),
        ("To verify it, in the figure we show the accuracy of both networks.", True),
        ("Several errors are apparent, as small masks blur.", False),
        ("The figure shows that deeper networks learn faster.", False),
        ("The figure shows two networks, of which the deeper one fails at night.", False),
        ("As shown in the figure, the deeper network learns faster.", False),
    ],
)
def test_pointing_is_told_from_telling(sentence: str, pointing: bool) -> None:
    assert is_pointer(sentence) is pointing
