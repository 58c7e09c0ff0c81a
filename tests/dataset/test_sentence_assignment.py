"""Each sentence of a figure goes to one task."""

from __future__ import annotations

from figtune.dataset.citing_text import CitingPassage
from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.sentence_assignment import SentenceShares, assign_sentences
from tests.rows import each_row

CAPTION = ("Overview of the whole proposed network.",)
MECHANISM = (
    "As the figure shows, the encoder takes an image as input, extracts features of all its patches and passes each "
    "of them on to the decoder."
)
FINDING = (
    "The figure shows that deeper networks improve accuracy more because errors drop, which suggests a better fit."
)
DETAIL = "In the figure, the red boxes mark people and the blue ones mark cars on the street beside the house."


def passage(*sentences: str, section: str = "3. Method", direct: bool = True, place: int = 0) -> CitingPassage:
    return CitingPassage(section=section, sentences=sentences, direct=direct, place=place)


def assigned(
    *passages: CitingPassage,
    caption: tuple[str, ...] = CAPTION,
    panels: tuple[PanelPart, ...] = (),
    is_architecture: bool = True,
    components: tuple[str, ...] = ("Encoder", "Decoder"),
) -> SentenceShares:
    return assign_sentences(
        caption, panels, passages, is_architecture=is_architecture, components=components, figure_text=""
    )


def test_mechanism_findings_and_details_go_to_different_tasks() -> None:
    shares = assigned(passage(MECHANISM), passage(FINDING), passage(DETAIL))
    assert (shares.caption, shares.analyze, shares.explain, shares.describe) == (
        CAPTION,
        (MECHANISM,),
        (FINDING,),
        (DETAIL,),
    )


def test_only_architectures_are_analyzed() -> None:
    shares = assigned(passage(MECHANISM), passage(FINDING), is_architecture=False)
    assert (shares.analyze, shares.describe) == ((), (MECHANISM,))


def test_what_names_no_component_is_no_analysis() -> None:
    shares = assigned(passage(MECHANISM), components=("Tokenizer", "Sampler", "Pyramid"))
    assert (shares.analyze, shares.describe) == ((), (MECHANISM,))


@each_row(
    "told",
    [
        "As the figure shows, our network consists of an encoder that reads images, a decoder that predicts masks and "
        "a memory bank that stores features.",
        "To this end, our network contains several parts: 1) the encoder extracts features, 2) the decoder predicts "
        "masks, and 3) the memory bank stores all of them.",
        "The encoder denotes the part that takes an image, extracts features of patches and passes each of them on.",
        "Motivated by the encoder, we introduce a decoder that takes images, extracts features and passes each on.",
        "In the figure, the encoder takes a more robust and more accurate image, which significantly improves results.",
        "In the figure, the encoder takes an image, extracts features and passes them.",
    ],
)
def test_what_only_names_parts_or_praises_them_is_no_analysis(told: str) -> None:
    assert assigned(passage(told)).analyze == ()


def test_an_analysis_speaks_of_what_the_figure_prints() -> None:
    for printed, kept in (("Encoder Decoder Features Image", True), ("Tokens Pyramid Warping Sampler", False)):
        shares = assign_sentences(
            CAPTION, (), [passage(MECHANISM)], is_architecture=True, components=(), figure_text=printed
        )
        assert (shares.analyze == (MECHANISM,)) is kept


def test_a_caption_that_goes_from_place_to_place_is_no_analysis() -> None:
    body = (
        "Top: The encoder takes an image as input and extracts features.",
        "The decoder predicts a mask from all the tokens that pass the attention layers.",
    )
    assert assigned(caption=(*CAPTION, *body)).analyze == ()


def test_a_caption_with_a_gap_is_no_analysis() -> None:
    body = (
        "The encoder takes an image as input and extracts features.",
        "The decoder predicts a mask from all the tokens that pass the attention layers.",
    )
    for whole in (True, False):
        shares = assign_sentences(
            (*CAPTION, *body), (), (), is_architecture=True, components=(), figure_text="", caption_is_whole=whole
        )
        assert bool(shares.analyze) is whole


@each_row(("printed", "kept"), [("Encoder Images Decoder", True), ("Encoder Decoder", False)])
def test_what_the_first_sentence_introduced_is_named_in_an_analysis_only_with_it(printed: str, kept: bool) -> None:
    caption = (
        "Training of the network: eight images are generated for each concept.",
        "In each step, the images are passed to the encoder, which extracts features.",
        "The decoder predicts a mask from all the tokens that pass the attention layers.",
    )
    shares = assign_sentences(caption, (), (), is_architecture=True, components=(), figure_text=printed)
    assert bool(shares.analyze) is kept


def test_an_analysis_need_not_mention_a_name_where_hardly_one_was_read() -> None:
    caption = (*CAPTION, "A crop is presented as the input, convolved with filters, pooled, and passed to two layers.")
    told = " ".join((*caption, "They take its features, and one of them predicts a class for all of the pixels."))
    assert assigned(passage(told), components=("Softmax", "Sigmoid")).analyze == (told,)
    assert assigned(passage(told), components=("Softmax", "Sigmoid", "Tokens")).analyze == ()


def test_one_clause_about_a_corner_is_not_told() -> None:
    shares = assigned(passage("Red boxes of the figure mark people in streets."), is_architecture=False)
    assert shares.describe == ()


def test_one_sentence_that_looks_at_nothing_is_no_description() -> None:
    told = "The whole network of the overview takes a proposed image of a street at night and of cars in it."
    assert assigned(passage(told), is_architecture=False).describe == ()
    assert assigned(passage(f"In the figure, {told}"), is_architecture=False).describe == (f"In the figure, {told}",)


def test_what_one_paragraph_says_stays_together() -> None:
    shares = assigned(passage(DETAIL, FINDING))
    assert (shares.explain, shares.describe) == ((DETAIL, FINDING), ())


def test_what_follows_a_dropped_sentence_begins_anew() -> None:
    shares = assigned(
        passage(
            "The network has two parts on the left.",
            "However, the decoder of the figure fails at night, where all the street lamps glare.",
        ),
        caption=("The network has two parts on the left.",),
    )
    assert shares.describe + shares.explain == (
        "The decoder of the figure fails at night, where all the street lamps glare.",
    )


STREET = "In the figure, people on the street are red and all of the cars that wait there are blue."
HOUSES = "The houses behind the street are drawn in gray and the trees beside it in green lines."
SHADOWS = "Some trees have long shadows in blue rhombuses."


def described(*passages: CitingPassage) -> str:
    caption = ("A street with people, cars, houses and trees.", SHADOWS)
    return " ".join(assigned(*passages, caption=caption, is_architecture=False).describe)


@each_row(
    ("last", "kept"),
    [
        ("In the figure, the trees are green.", True),
        (HOUSES, False),
        ("In the figure, the corners of trees are green.", False),
    ],
)
def test_behind_a_gap_only_what_names_the_figure_goes_on(last: str, kept: bool) -> None:
    gap = f"{SHADOWS[:-1]} with corners."
    assert described(passage(STREET, gap, last)) == (f"{STREET} {last}" if kept else STREET)


def test_nothing_ends_in_a_pointer() -> None:
    assert described(passage(STREET, "Panel (b) shows a street.")) == STREET
    assert described(passage(STREET, "Panel (b) shows a street.", SHADOWS)) == STREET


def test_passages_make_one_text_where_the_later_names_the_figure() -> None:
    trees = f"In the figure, {HOUSES[0].lower()}{HOUSES[1:]}"
    assert described(passage(trees, place=2), passage(STREET, place=1)) == f"{STREET} {trees}"
    late = "The trees behind the houses are green lines in the figure."
    for other in (HOUSES, late):
        assert described(passage(STREET), passage(other, place=1)) == STREET
    assert described(passage(STREET), passage(trees, section="4. Results", place=1)) == trees  # the longer one
    assert (
        described(passage("In the figure, people are red."), passage(trees, direct=False, section="", place=1)) == trees
    )
    assert described(passage(STREET), passage(trees, HOUSES, direct=False, section="1. Method", place=1)) == STREET


def test_passages_of_different_panels_make_one_text() -> None:
    panels = (
        "People cross the street behind long blue lines (panel a).",
        "Trees grow beside the road on green lines (panel b).",
    )
    parts = [
        passage(HOUSES, panels[0]),
        passage("Some gray houses with blue shadows wait beside trees.", panels[1], place=1),
    ]
    assert described(*parts) == " ".join(sentence for part in parts for sentence in part.sentences)


def test_an_analysis_is_made_of_several_sections() -> None:
    later = (
        "In the figure, the memory stores the tokens of the decoder and feeds them to the encoder of the next image."
    )
    assert assigned(passage(MECHANISM), passage(later, section="4. Memory", place=1)).analyze == (MECHANISM, later)


def test_sentences_stay_with_the_one_they_lean_on() -> None:
    leaning = "This outperforms others and shows better results with significant improvements."
    shares = assigned(passage(MECHANISM, leaning))
    assert (MECHANISM, leaning) in (shares.analyze, shares.explain, shares.describe)


def test_what_leans_on_a_repeated_sentence_goes_with_it() -> None:
    shares = assigned(passage("An overview of the whole proposed network.", "It is shown in the figure in red."))
    assert (*shares.explain, *shares.analyze, *shares.describe) == ()


def test_what_a_later_sentence_says_too_is_said_once() -> None:
    shorter, longer = (
        "The figure has red boxes of people.",
        "The figure has red boxes of people and blue boxes of cars at night.",
    )
    assert assigned(passage(shorter, longer), is_architecture=False).describe == (longer,)


def test_a_short_share_joins_the_largest() -> None:
    shares = assigned(passage(MECHANISM), passage("Red boxes of the figure mark people."))
    assert shares.analyze == (MECHANISM, "Red boxes of the figure mark people.")
    assert shares.describe == ()


def test_what_is_not_about_the_figure_goes() -> None:
    shares = assigned(
        passage(MECHANISM), passage("Training takes two days on eight cards with batches of sixteen images.")
    )
    assert (*shares.analyze, *shares.explain, *shares.describe) == (MECHANISM,)


def test_an_architecture_without_citing_text_takes_the_mechanism_of_its_caption() -> None:
    body = (
        "The encoder takes an image as input and extracts features.",
        "The decoder predicts a mask from all the tokens that pass the attention layers.",
    )
    shares = assigned(caption=(*CAPTION, *body))
    assert (shares.caption, shares.analyze) == (CAPTION, body)


def test_panels_take_their_part_of_the_caption_where_it_can_spare_it() -> None:
    parts = (
        PanelPart(label="a", sentences=("The image of a street at night.",)),
        PanelPart(label="b", sentences=("The mask of all cars in it.",)),
    )
    caption = (*CAPTION, "(a) The image of a street at night.", "(b) The mask of all cars in it.")
    shares = assigned(caption=caption, panels=parts)
    assert (shares.caption, shares.panels) == (CAPTION, parts)
    bare = assigned(caption=caption[1:], panels=parts)
    assert (bare.caption, bare.panels) == (caption[1:], ())


def test_a_list_that_begins_within_a_sentence_is_not_parted() -> None:
    parts = (
        PanelPart(label="a", sentences=("The image of a street at night.",)),
        PanelPart(label="b", sentences=("The mask of all cars in it.",)),
    )
    caption = ("Masks of a street: (a) The image of a street at night.", "(b) The mask of all cars in it.")
    shares = assigned(caption=caption, panels=parts)
    assert (shares.caption, shares.panels) == (caption, parts[:1])


def test_panels_keep_their_part_where_the_caption_lost_its_list() -> None:
    part = PanelPart(label="a", sentences=("The image of a street at night.",))
    assert assigned(panels=(part, PanelPart(label="b", sentences=()))).panels[0] == part


def test_text_below_a_panel_is_its_own() -> None:
    part = PanelPart(label="a", sentences=("The image of a street at night.",), below_panel=True)
    assert assigned(panels=(part,)).panels == (part,)


def test_what_a_pointer_introduces_needs_fewer_words_and_ends_at_a_gap() -> None:
    first, second = "The whole network reads a street.", "The street is read from above by two cameras on a roof."
    other = "Training takes two days."
    for introduced, told in ((True, (first, second)), (False, ())):
        passage_ = CitingPassage(section="", sentences=(first, second), direct=True, introduced=introduced)
        assert assigned(passage_, is_architecture=False).describe == told
    gap = CitingPassage(section="", sentences=(other, first, second), direct=True, introduced=True)
    assert assigned(gap, is_architecture=False).describe == ()


def test_one_sentence_beside_a_remark_in_brackets_tells_what_can_be_seen() -> None:
    for told, kept in (
        (
            "The network places the proposed module behind the first layer of the whole overview, where it is small.",
            False,
        ),
        ("The network places the proposed module behind the red layer of the whole overview, where it is small.", True),
    ):
        aside = CitingPassage(section="3. Method", sentences=(told,), direct=False)
        shares = assign_sentences(
            ("The whole network with a module behind a layer.", "An overview."),
            (),
            [aside],
            is_architecture=False,
            components=(),
            figure_text="place",
        )
        assert (shares.describe == (told,)) is kept


def test_background_that_cites_the_figure_in_brackets_is_not_about_it() -> None:
    aside = CitingPassage(section="1. Introduction", sentences=(MECHANISM,), direct=False)
    shares = assigned(aside)
    assert (*shares.analyze, *shares.explain, *shares.describe) == ()
