"""Components: the labels that a figure has, in reading order."""

from __future__ import annotations

from figtune.dataset.components import complete_names, component_names, mentioned


def test_names_are_labels_of_the_figure_whatever_is_said_of_them() -> None:
    figure_text = (
        "Input Image\nImage Encoder (Sec 3.2)\nMemory Bank\n(b)\nDecoder\n0.5\nx\nMemory Bank\n(a) Text Branch"
    )
    assert component_names(figure_text, "") == ("Input Image", "Image Encoder", "Memory Bank", "Decoder", "Text Branch")


def test_lines_of_one_label_are_joined_where_the_text_has_them_together() -> None:
    figure_text = "Deep Feature\nExtractor\nMask\nHead"
    assert component_names(figure_text, "We feed the deep feature extractor and classify.") == (
        "Deep Feature Extractor",
        "Mask",
        "Head",
    )
    assert component_names("Class-\nifier", "The class-ifier.") == ("Class-ifier",)


def test_pieces_symbols_and_sentences_are_no_names() -> None:
    figure_text = "Cross Attention\nAttention\nFv0\nℒ\nof the\nWhat is the colour of the cat?\nsegmentation\nInput"
    assert component_names(figure_text, "") == ("Cross Attention",)


def test_mentioning_is_by_whole_words() -> None:
    assert mentioned("Two encoders, one en-coder.", ["Encoder", "Decoder"]) == ("Encoder",)


def test_words_of_what_is_put_in_and_of_what_things_are_like_name_no_component() -> None:
    figure_text = (
        "Bricks\nEncoder\nFrozen\nTrainable\nTraining only\nGrasp the cup\nSlice\nRAFT\nSelf-Attention\nTemporal"
    )
    assert component_names(figure_text, "Slicing comes first.") == ("Encoder", "Slice", "RAFT", "Self-Attention")
    assert component_names(figure_text, "Bricks are sliced.") == (
        "Bricks",
        "Encoder",
        "Slice",
        "RAFT",
        "Self-Attention",
    )


def test_what_lost_letters_is_no_name() -> None:
    assert component_names("Batch Normalizaon\nLSTM ques1on\nEncoder", "") == ("Encoder",)


def test_names_are_listed_where_none_is_missing_or_cut() -> None:
    text = "Image Encoder\nProjection Head\nDecoder\nx\n12\npatches"
    names = component_names(text, "")
    assert names == ("Image Encoder", "Projection Head", "Decoder")
    assert complete_names(text, names, "") == names
    for other in ("Transformer Encoder (TE)", "Qwen2.5", "f-Divergence Loss", "Select Top 50%"):
        assert complete_names(f"{text}\n{other}", names, "") == ()
