"""Text that rules remove from sentences, and text that they keep."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from figtune.dataset.cleaning import clean, clean_sentence, depends_on_previous, tidy, without_leading_connective
from figtune.dataset.references import FigureRef
from figtune.dataset.text_rules import RULES
from tests.rows import each_row

FIGURE = FigureRef("Figure", "3")

# sentence, what is left (None: dropped), the rules that took something
CASES: list[tuple[str, str | None, set[str]]] = [
    ("Features come from a ResNet-like [16] backbone.", "Features come from a ResNet-like backbone.", {"citation"}),
    ("Existing methods [19, 40] fail (e.g., [4], [5]).", "Existing methods fail.", {"citation"}),
    ("Following [12], we warp it.", "We warp it.", {"citation"}),
    ("Following [12] and FlowNet [3], we warp it.", "Following prior work and FlowNet, we warp it.", {"citation"}),
    (
        "As shown in Fig. 3, motivated by [4], we warp it.",
        "As shown in the figure, we warp it.",
        {"own_reference", "citation"},
    ),
    ("Our net, similar to Doe et al. [4], is small.", "Our net is small.", {"citation"}),
    ("The net is similar to that used by Doe et al. [4].", None, {"citation", "citation_as_noun"}),
    ("Its blocks are identical to those of [4].", None, {"citation", "citation_as_noun"}),
    ("The net is small, as discussed in [4].", "The net is small.", {"citation"}),
    ("All nets besides [4] are small.", "All nets besides prior work are small.", {"citation"}),
    ("We use the decoder from [4].", None, {"citation", "citation_as_noun"}),
    (
        "We use the decoder from [4] to fill holes in masks.",
        "We use the decoder from prior work to fill holes in masks.",
        {"citation"},
    ),
    ("The authors of [4] see blur in Fig. 3.", None, {"own_reference", "citation", "citation_as_noun"}),
    ("The masks of both nets are similar to each other.", "The masks of both nets are similar to each other.", set()),
    ("For example, Doe et al. [4] designed masks.", None, {"citation", "citation_as_subject"}),
    ("Masks blur, but [4] shows none.", None, {"citation_as_noun"}),
    ("Masks of prior work blur.", "Masks of prior work blur.", set()),
    ("Prior work related to masks blurs them.", "Prior work related to masks blurs them.", set()),
    ("A matrix of 1, 024 × 64 weights is cut in two.", "A matrix of 1,024 × 64 weights is cut in two.", set()),
    ("A matrix of 64 × 2, 220 weights is cut in two.", "A matrix of 64 × 2,220 weights is cut in two.", set()),
    ("The rest is as done previously.", None, {"text_reference"}),
    ("A net is trained over two losses, as shown.", "A net is trained over two losses.", {"text_reference"}),
    ("It is as large as shown in red.", "It is as large as shown in red.", set()),
    ("Details are in the sup. mat.", None, {"supplement_reference"}),
    ("It is faster (Fig. 3 right vs. left).", "It is faster (right vs. left).", {"own_reference"}),
    ("The wave is made by a probe (Fig. 3(a)).", "The wave is made by a probe (panel a).", {"own_reference"}),
    ("The net is cascaded (Fig. 3 A).", "The net is cascaded (panel A).", {"own_reference"}),
    ("Fig. 3B shows masks.", "Panel (B) shows masks.", {"own_reference"}),
    ("Fig. 3 below shows masks.", "The figure shows masks.", {"own_reference", "text_reference"}),
    ("In Fig. 3 (on page 30), masks move.", "In the figure, masks move.", {"own_reference", "text_reference"}),
    ("Masks stand above the diagonal.", "Masks stand above the diagonal.", set()),
    ("Fig. 3)).", None, {"own_reference", "broken_off"}),
    ("a) Masks move.", "a) Masks move.", set()),
    ("In Fig. 3A-C, masks move.", "In panels (A) to (C), masks move.", {"own_reference"}),
    ("In Fig. 3 A mask is seen.", "In the figure A mask is seen.", {"own_reference"}),
    ("Figures 3(a) and 3(b) show masks.", "Panels (a) and (b) show masks.", {"own_reference"}),
    ("In Fig. 3a and 3b masks move.", "In panels (a) and (b) masks move.", {"own_reference"}),
    ("The method suggested in Sect. 2 fails.", "The method fails.", {"section_reference"}),
    ("Neurons were labelled1,2, glia were not3–5.", "Neurons were labelled, glia were not3–5.", {"footnote_mark"}),
    ("Layers of ResNet50 and conv4 differ.", "Layers of ResNet50 and conv4 differ.", set()),
    (
        "By comparing Figs. 3a and 3b, we see masks.",
        "By comparing panels (a) and (b), we see masks.",
        {"own_reference"},
    ),
    ("Resistivity is small (ref. 41).", "Resistivity is small.", {"citation"}),
    ("Resistivity is small (a fit, ref. 41).", "Resistivity is small (a fit).", {"citation"}),
    ("Maps at epochs [1,2,5,10] are small.", "Maps at epochs [1,2,5,10] are small.", set()),
    ("We train for ten epochs [1, 2].", "We train for ten epochs.", {"citation"}),
    ("The loss Lstereo is small.", None, {"wrong_symbols"}),
    ("The net turns zt into a mask.", None, {"wrong_symbols"}),
    ("The net stays small and fast for all of the masks (i f k).", None, {"wrong_symbols"}),
    ("Masks are less than mm wide.", None, {"wrong_symbols"}),
    ("Masks are less than 5 mm wide.", "Masks are less than 5 mm wide.", set()),
    ("The net (vs. ours) takes 3 ms in the xy plane.", "The net (vs. ours) takes 3 ms in the xy plane.", set()),
    ("With masks of a size (A!B) it is small.", None, {"wrong_symbols"}),
    ("Lloyd and Nguyen use Tversky and LPIPS.", "Lloyd and Nguyen use Tversky and LPIPS.", set()),
    ("The mask is small (as the net shows.", None, {"broken_off"}),
    ("Resistivity is small, refs. 12–14.", "Resistivity is small.", {"citation"}),
    ("The ref. image is small.", "The ref. image is small.", set()),
    ("Shows the network and its masks.", "The network and its masks.", {"missing_subject"}),
    ("Illustrates how masks move.", "How masks move.", {"missing_subject"}),
    ("Shows of masks are rare.", "Shows of masks are rare.", set()),
    ("To find masks, we outline the method.", None, {"about_the_paper"}),
    ("The outline of the mask is red.", "The outline of the mask is red.", set()),
    ("Adam (red)1 and SGD (blue)2.", "Adam (red) and SGD (blue).", {"footnote_mark"}),
    ("It maps f(x)2 to a mask.", "It maps f(x)2 to a mask.", set()),
    ("Our model, shown in Fig. 3, reads masks.", "Our model reads masks.", {"own_reference"}),
    ("The result, illustrated in Fig. 3(a), is sharp.", "The result (panel a) is sharp.", {"own_reference"}),
    ("It blurs them, with an example being shown in Fig. 3.", "It blurs them.", {"own_reference"}),
    ("The masks are sharp, as shown in Fig. 3.", "The masks are sharp, as shown in the figure.", {"own_reference"}),
    ("Figure 3, left, shows masks.", "The figure (left) shows masks.", {"own_reference"}),
    ("In Figure 3, left, we warp masks.", "In the figure (left), we warp masks.", {"own_reference"}),
    ("Same as Fig. 5, but for masks.", None, {"other_figure_reference"}),
    ("The same as in Fig. 5 for small masks.", None, {"other_figure_reference"}),
    ("Same masks in another view.", "Same masks in another view.", set()),
    ("Source: the authors.", None, {"about_the_paper"}),
    ("Image courtesy of the museum.", None, {"about_the_paper"}),
    ("Reprinted with permission from [7].", None, {"citation", "about_the_paper"}),
    ("(Color online) Filters of the net.", "Filters of the net.", {"about_the_paper"}),
    ("Source and target domains differ.", "Source and target domains differ.", set()),
    ("Fig. 3 about here.", None, {"own_reference", "about_the_paper"}),
    ("This could be explored in masks.", None, {"future_work"}),
    ("It should be further investigated why masks fail.", None, {"future_work"}),
    ("We leave masks to future work.", None, {"future_work"}),
    ("An area to be explored by the robot is grey.", None, {"future_work"}),
    ("The robot explores the area.", "The robot explores the area.", set()),
    ("As mentioned above, masks are small.", "Masks are small.", {"text_reference"}),
    ("Masks are small, as discussed earlier.", "Masks are small.", {"text_reference"}),
    ("The loss of the previous section is small.", None, {"text_reference"}),
    ("The previous frame is warped.", "The previous frame is warped.", set()),
    ("The weight αui,1 is large.", None, {"wrong_symbols"}),
    ("It depends on pui,1 alone.", None, {"wrong_symbols"}),
    (
        "At 1,024 pixels, 5 μm thick, α-shapes and β are seen.",
        "At 1,024 pixels, 5 μm thick, α-shapes and β are seen.",
        set(),
    ),
    ("[12] proposes a warp.", None, {"citation_as_subject"}),
    ("In [12], a warp is proposed.", "In prior work, a warp is proposed.", {"citation"}),
    ("Our net extends [12] by a mask.", None, {"citation_as_noun"}),
    ("We compare to BARF [20], NeRF [21], and [22].", "We compare to BARF, NeRF, and prior work.", {"citation"}),
    ("Smith et al. [12] warp it (Doe and Roe, 2019).", None, {"citation", "citation_as_subject"}),
    ("The model by Doe and Roe (2019) fails.", "The model by prior work fails.", {"citation"}),
    ("We compare FlowNet and Caltech [3].", "We compare FlowNet and Caltech.", {"citation"}),
    ("In a nutshell, our contributions are as follows.", None, {"about_the_paper"}),
    ("© The masks of a net.", None, {"about_the_paper"}),
    ("Copyright of the masks is ours.", None, {"about_the_paper"}),
    ("The map is used under a CC license.", None, {"about_the_paper"}),
    ("The map is adapted under Creative Commons.", None, {"about_the_paper"}),
    ("Credit: a museum.", None, {"about_the_paper"}),
    ("We briefly elaborate on masks.", None, {"about_the_paper"}),
    ("We then recap it for masks.", None, {"about_the_paper"}),
    ("Throughout the remainder masks are white.", None, {"about_the_paper"}),
    ("Masks are told of in the rest of this paper.", None, {"about_the_paper"}),
    ("We go through each mask of the net.", None, {"about_the_paper"}),
    ("All people shown consented to publication.", None, {"about_the_paper"}),
    ("The masks are organized as follows.", None, {"about_the_paper"}),
    ("It remains to be tested for masks.", None, {"future_work"}),
    ("Masks are worth experimenting with.", None, {"future_work"}),
    ("It is interesting to study masks.", None, {"future_work"}),
    ("Masks can be studied with a net.", None, {"future_work"}),
    ("A question arises for masks.", None, {"future_work"}),
    ("Masks will be large in the future.", None, {"future_work"}),
    (
        "It starts as proposed in (Doe & Roe, 2010) and ends.",
        "It starts as proposed in prior work and ends.",
        {"citation"},
    ),
    ("Ours beats Doe et al.’s method.", "Ours beats prior work’s method.", {"citation"}),
    ("Layers of Doe et al. [18]’s network fail.", "Layers of prior work’s network fail.", {"citation"}),
    ("We compare our method with Doe et al.’s [17] for speed.", None, {"citation_as_noun"}),
    ("The car is zoomed in from (a).", "The car is zoomed in from (a).", set()),
    ("The drawing of the net is inspired by Doe et al. (2017).", None, {"citation", "citation_as_noun"}),
    ("It is defined as follows, where L is the loss.", None, {"display_equation"}),
    ("We use conv4 3 and conv8 2.", None, {"wrong_symbols"}),
    (
        "Nets follow the form in Fig. 3 (middle/right).",
        "Nets follow the form in the figure (middle/right).",
        {"own_reference"},
    ),
    ("Values lie in the range [0, 1].", "Values lie in the range [0, 1].", set()),
    ("Pixels lie in [0, 255] and in [12].", "Pixels lie in [0, 255] and in prior work.", {"citation"}),
    ("The [CLS] token attends to the object.", "The [CLS] token attends to the object.", set()),
    ("It was shown before (Doe, 2019; Roe, 2020a).", "It was shown before.", {"citation"}),
    ("It was shown in 2019 (in Paris).", "It was shown in 2019 (in Paris).", set()),
    ("Methods encode assumptions (see Sec. 4.2).", "Methods encode assumptions.", {"section_reference"}),
    ("As described in Sec. 3, the encoder works.", "The encoder works.", {"section_reference"}),
    (
        "We scan with the technique in Section 4.1 for a second.",
        "We scan with the technique for a second.",
        {"section_reference"},
    ),
    ("See the description in Section 3.4 for details.", None, {"section_reference"}),
    ("Results are given in Sec. 4.", None, {"section_reference"}),
    ("The input goes to Module A.", "The input goes to Module A.", set()),
    ("The input image section is cut.", "The input image section is cut.", set()),
    (
        "The images rendered with our simulator (submitted as supplementary) move.",
        "The images rendered with our simulator move.",
        {"supplement_reference"},
    ),
    ("Please refer to the supplementary material for more.", None, {"supplement_reference"}),
    ("Details in Appendix A.2.", None, {"supplement_reference"}),
    ("The loss in Eq. (3) is minimised.", "The loss is minimised.", {"equation_reference"}),
    ("The encoder works, see Eq. (4).", "The encoder works.", {"equation_reference"}),
    ("Eq. 4 holds for all inputs.", None, {"equation_reference"}),
    ("We add the features, a = b + c, (6) where r is their number.", None, {"display_equation"}),
    ("Given an object L = (Ss)Ss=1, we render it many times over.", None, {"flattened_formula"}),
    ("It follows Algorithm 1.", None, {"statement_reference"}),
    ("The accuracy (Table 3) rises.", "The accuracy rises.", {"table_reference"}),
    ("Tab. 2 shows that the accuracy rises.", None, {"table_reference"}),
    ("A table stands in the room.", "A table stands in the room.", set()),
    ("This is the case of warping in Fig. 4.", "This is the case of warping.", {"other_figure_reference"}),
    ("Figure 4 shows another thing.", None, {"other_figure_reference"}),
    ("The outer space (Fig. 5 (b)) is far.", "The outer space is far.", {"other_figure_reference"}),
    ("As shown in Fig. 3, it works.", "As shown in the figure, it works.", {"own_reference"}),
    ("Figure 3 (a) shows the encoder.", "Panel (a) shows the encoder.", {"own_reference"}),
    ("In Fig. 3.b and c, we see it.", "In panels (b) and (c), we see it.", {"own_reference"}),
    ("Compare Fig. 3(a)-(c) to it.", "Compare panels (a) to (c) to it.", {"own_reference"}),
    ("In Fig. 3 a model is shown.", "In the figure a model is shown.", {"own_reference"}),
    (
        "The warp (see Fig. 3) and the mask (Fig. 3(b)) differ.",
        "The warp and the mask (panel b) differ.",
        {"own_reference"},
    ),
    ("The masks (Fig. 3 (left)) are small.", "The masks (left) are small.", {"own_reference"}),
    ("The masks of Fig. 3 (top row) are small.", "The masks of the figure (top row) are small.", {"own_reference"}),
    ("The masks in Fig. 3-(b) are small.", "The masks in panel (b) are small.", {"own_reference"}),
    ("The masks are small (please see Fig. 3 for more masks).", "The masks are small.", {"own_reference"}),
    ("The masks are as small as the results Fig. 3, which are old.", None, {"own_reference", "stray_reference"}),
    ("It minimises Equ. 4.", None, {"equation_reference"}),
    ("The masks are small (see Appx. B).", "The masks are small.", {"supplement_reference"}),
    ("Masks of the net, the same as in Fig. 4.", "Masks of the net.", {"other_figure_reference"}),
    ("Results w/o masks and w/ masks.", "Results w/o masks and w/ masks.", set()),
    ("We refer the reader to Fig. 3.", None, {"own_reference", "bare_pointer"}),
    ("More details can be found in the text.", None, {"text_reference"}),
    ("Images have 512⇥512 pixels.", "Images have 512×512 pixels.", set()),
    ("The warp of 180◦ is that of 30 ◦ twice.", "The warp of 180° is that of 30° twice.", set()),
    ("Weights f(xI) 2 R are learned.", None, {"wrong_symbols"}),
    ("A threshold Ä is set.", None, {"wrong_symbols"}),
    ("The map Ft−1 is warped.", None, {"wrong_symbols"}),
    ("The loss Lcls is small.", None, {"wrong_symbols"}),
    ("The mask Ŵ is small.", None, {"wrong_symbols"}),
    ("Values of α from 0.5 to 2 are tried.", "Values of α from 0.5 to 2 are tried.", set()),
    ("In Fig. 3 (top), frames move.", "In the figure (top), frames move.", {"own_reference"}),
    ("IBRNet† is fine-tuned.", "IBRNet is fine-tuned.", {"footnote_mark"}),
    ("Code is available at https://x.github.io/y.", None, {"address"}),
    ("The data set (www.example.org/data) is large.", "The data set is large.", {"address"}),
    ("The red box shows it (best viewed in color).", "The red box shows it.", {"viewing_advice"}),
    ("Best viewed zoomed in.", None, {"viewing_advice"}),
    ("Zoom in for details.", None, {"viewing_advice"}),
    ("The zoom-in views show the wall.", "The zoom-in views show the wall.", set()),
    ("See text for details.", None, {"text_reference"}),
    ("Please see Figure 3 for an overview.", None, {"own_reference", "bare_pointer"}),
    ("The glyph \ufffd is lost.", None, {"unreadable_glyphs"}),
    ("The index is \\frac {a}{b} here.", None, {"latex_source"}),
    ("L = P i ∥xi −yi∥2 + λ R (θ) , λ = 0.1 with N > 3 .", None, {"mostly_symbols"}),
    ("This validates our analysis, i.e.", None, {"broken_off"}),
]


@each_row(("sentence", "expected", "rules"), CASES)
def test_a_sentence_keeps_what_its_reader_can_know(sentence: str, expected: str | None, rules: set[str]) -> None:
    removed: Counter[str] = Counter()
    assert clean_sentence(sentence, FIGURE, removed) == expected
    assert set(removed) == rules
    if expected is not None:
        again: Counter[str] = Counter()
        assert clean_sentence(expected, FIGURE, again) == expected, "what is clean stays"
        assert not again


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in RULES} <= {name for _, _, rules in CASES for name in rules}


def test_no_rule_matches_what_lacks_its_signs() -> None:
    for sentence, _, _ in CASES:
        for text in (sentence, sentence.upper(), f"It is so. {sentence}"):
            for rule in RULES:
                has_sign = any(sign in text.lower() for sign in rule.signs)
                assert has_sign or not rule.pattern.search(text), (rule.name, text)


def test_a_sentence_goes_with_the_one_it_leans_on() -> None:
    text = "The encoder is deep. Tab. 2 compares it. It is better than others. The decoder is shallow."
    result = clean(text, FIGURE)
    assert result.sentences == ("The encoder is deep.", "The decoder is shallow.")
    assert result.removed == {"table_reference": 1, "leans_on_removed": 1}


def test_a_list_of_panels_is_kept_whole_or_not_at_all() -> None:
    text = "Two networks. (a) The encoder is deep. (b) Tab. 2 compares it. All layers are drawn in red."
    result = clean(text, FIGURE)
    assert result.sentences == ("Two networks.",)
    assert result.removed == {"table_reference": 1, "broken_list": 2}
    assert clean(text.replace("(b)", "(b-c)"), FIGURE).sentences == ("Two networks.",)
    for first, second in (("Left:", "Right:"), ("(Top)", "(Bottom)"), ("Upper row:", "Bottom row:")):
        assert clean(text.replace("(a)", first).replace("(b)", second), FIGURE).sentences == ("Two networks.",)
        assert clean(text.replace("(a)", second).replace("(b)", first), FIGURE).sentences == ("Two networks.",)
    whole = text.replace("Tab. 2 compares it", "The decoder is flat")
    assert len(clean(whole, FIGURE).sentences) == 4


@each_row(
    ("sentence", "expected"),
    [
        ("It is better.", True),
        ("As shown in the figure, our net achieves this by a mask.", True),
        ("Masks are sharp in this case too.", True),
        ("Masks of cars are compared to those of trucks.", False),
        ("We use features such as edges.", False),
        ("Indeed, masks are sharp.", False),
        ("As one can see in the figure the mask is small.", False),
        ("The objective is to make masks small.", True),
        ("The idea here is a mask.", True),
        ("The idea is simple: each mask is small.", False),
        ("The objective of the net is a mask.", False),
        ("For cars, we can make a similar plot.", True),
        ("A similar effect has been seen in masks.", True),
        ("Masks show a similar effect for cars and trucks.", False),
        ("We use a similar network.", False),
        ("Moreover, masks are small.", False),
        ("Moreover, they are small.", True),
        ("One important difference is the depth.", True),
        ("One network is deep.", False),
        ("If it is set, we ignore it.", True),
        ("As it is shown in the figure, the net works.", False),
        ("The first is that the net works.", True),
        ("The first row shows the net.", False),
        ("We see the same trends as before.", True),
        ("However, this fails.", True),
        ("Inspired by these requirements, we build it.", True),
        ("To do so, we build it.", True),
        ("As shown in the figure, this is the source.", True),
        ("As shown in the figure, the encoder is the source.", False),
        ("This figure shows it.", False),
        ("It can be seen that the encoder works.", False),
        ("We build it.", False),
        ("Item (a) is built.", False),
        ("To address them, we build it.", True),
        ("In doing so, we lose it.", True),
        ("We regard them as labels.", True),
        ("Given their size, we build it.", True),
        ("As illustrated in the top part of the figure, they move.", True),
        ("Towards this goal, we build it.", True),
        ("As shown in the figure, it can move.", True),
        ("In this section, we build it.", False),
        ("In contrast to prior methods, we build it.", False),
        ("In contrast, we build it.", True),
        ("Instead of masks, we use boxes.", False),
        ("Finally, the mask is drawn.", True),
        ("To reveal the reasons, in the figure we compare errors.", True),
        ("To reveal the reasons of the drop, we compare errors.", False),
        ("In the figure we compare their errors.", True),
        ("For each net, we compare its errors.", False),
        ("We study in how far the whole net makes any real use of this capability.", True),
        ("We cut the mask into many small parts and the net reads these parts.", False),
        ("The net reads the whole image of a street at night, and this is slow.", False),
        ("The text describes the corresponding mask.", True),
        ("The image and the corresponding mask are small.", False),
        ("The resulting mask is small.", True),
        ("We instead use masks.", True),
        ("Unfortunately, masks are small.", True),
        ("In practice, we can use many more with small costs.", True),
        ("In practice, we can use many more masks.", False),
        ("First, they are small.", True),
        ("The net then reads masks.", True),
        ("A naive solution is a mask.", True),
        ("The only addition is a mask.", True),
        ("The only addition of the net is a mask.", False),
        ("Masks are blurred by all of the nets at night as they cannot learn such a long path.", True),
        ("Masks are blurred by all of the nets at night but for such a net as ours.", False),
        ("A typical example is our net.", True),
        ("A more elaborate net reads masks.", True),
        ("A more elaborate net than ours reads masks.", False),
        ("Our net still wins, but no longer by much.", True),
        ("Even at night our net still wins.", False),
        ("First, masks are small.", False),
    ],
)
def test_leaning_back(sentence: str, expected: bool) -> None:
    assert depends_on_previous(sentence) is expected


@each_row(
    ("kept", "goes"),
    [
        ("Moreover, masks are small.", "Masks are small."),
        ("The warped mask will then be used.", None),
        ("A mask is then drawn.", "A mask is then drawn."),
    ],
)
def test_behind_a_lost_sentence_nothing_goes_on(kept: str, goes: str | None) -> None:
    assert clean(f"Masks of cars. Tab. 2 shows the loss. {kept}", FIGURE).sentences == tuple(
        filter(None, ("Masks of cars.", goes))
    )
    assert clean(f"Masks of cars. {kept}", FIGURE).sentences == ("Masks of cars.", kept)


def test_connectives_go_where_nothing_stands_before() -> None:
    assert without_leading_connective("However, in addition, the net works.") == "In addition, the net works."
    assert without_leading_connective("Moreover, the net works.") == "The net works."
    assert without_leading_connective("In contrast to masks, it works.") == "In contrast to masks, it works."
    assert without_leading_connective("Instead of masks, we use boxes.") == "Instead of masks, we use boxes."
    assert without_leading_connective("We then also train it.") == "We train it."
    assert without_leading_connective("The figure also shows that it works.") == "The figure shows that it works."
    assert without_leading_connective("In the figure, we further train it.") == "In the figure, we train it."
    assert without_leading_connective("Masks move further away.") == "Masks move further away."
    assert without_leading_connective("mIoU grows.") == "mIoU grows."
    assert without_leading_connective("Some nets have nonetheless been built.") == "Some nets have been built."
    assert without_leading_connective("In the figure, nets also learn.") == "In the figure, nets learn."
    assert (
        without_leading_connective("Nets are not only small but also fast.") == "Nets are not only small but also fast."
    )
    assert without_leading_connective("Unlike masks, however, nets learn.") == "Unlike masks, nets learn."
    assert without_leading_connective("Our net, however, learns.") == "Our net learns."
    assert without_leading_connective("In specific, nets learn.") == "Nets learn."


@given(st.text(alphabet="ab ,.;()[]:Z", max_size=40))
def test_tidying_twice_is_tidying_once(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)
