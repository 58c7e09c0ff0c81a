"""Meaning of every rule name that stands in `rejected.jsonl` and `stats.json`: the screen, the preview, the data set's
README and `docs/rules.md` take it from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from figtune.core.number_format import count
from figtune.dataset.records import Stats

WHOLE: Mapping[str, str] = {
    "table_kept_apart": "left out as tables, which is the default",
    "no_region": "whose region on the page was not found",
    "no_caption": "without a caption, or with nothing but its label",
    "low_confidence": "found with too little confidence",
    "not_english": "with a caption in another language than English",
    "image_too_small": "with a picture of too few pixels",
    "extreme_aspect_ratio": "with a picture too long or too high for its other side",
    "blank_image": "with a picture that is blank or nearly so",
    "unreadable_crop": "whose crop cannot be read; extract the papers again",
    "duplicate_image": "with the same picture as another one",
    "near_duplicate_across_splits": "with nearly the same picture as one in another split",
    "copy_across_splits": "with the same picture as one in another split",
    "no_example": "that no task could make an example of; the reasons are listed by task",
    "rejected_in_review": "that a person rejected in the review",
    "no_image": "without an image, or with one that is not there",
    "no_id": "without an id",
    "image_outside": "with an image outside the data set's folder",
    "unreadable_image": "with an image that cannot be decoded",
    "no_text": "without a text",
    "too_short": "with a target of too few words",
    "no_sentence_fits": "whose first sentence is longer than a target may be",
}
"""Rules against a whole figure, table or row; some reject single examples too. Each continues "12 figures"."""

EXAMPLE: Mapping[str, str] = {
    "nothing_left_of_caption": "for which cleaning left no sentence of the caption",
    "no_citing_text": "whose figure no paragraph of the paper cites",
    "nothing_left_of_citing_text": "for which cleaning left no sentence of the paragraphs that cite the figure",
    "only_repeats_caption": "whose citing paragraphs say only what the caption says",
    "headline_lost": "whose caption lost its first sentence to cleaning",
    "no_words_in_figure": "of reading a figure without words in its text layer",
    "hidden_words_in_figure": "of reading a figure that may hold other words than those of its text layer",
    "unsure_order_of_words": "of reading a figure whose words a reader could take in another order",
    "words_cut_in_panel": "of reading a panel whose picture cuts words at its edge",
    "too_many_words_in_figure": "of reading a figure with more words than a picture of the usual size shows",
    "unreadable_words_in_figure": "of reading a figure whose words come out of the file as other signs",
    "unsure_table": "of reading a table, or of a question about it, whose rows and columns are not sure",
    "no_sure_question": "of a question about a figure of which nothing is sure enough to ask",
    "low_quality": "with a target of too low a quality",
    "rejected_in_review": WHOLE["rejected_in_review"],
    "panel_outside": "about a panel outside its figure's region",
    "panel_without_own_caption": "about a panel that the caption says nothing of its own about",
    "too_short": WHOLE["too_short"],
    "no_sentence_fits": WHOLE["no_sentence_fits"],
}
"""Rules against one example of a figure that may have others. Each continues "12 examples"."""

SENTENCE: Mapping[str, str] = {
    "own_reference": 'name the figure by its number; put as "the figure"',
    "unreadable_glyphs": "hold characters whose meaning the font does not tell; dropped",
    "display_equation": "run through a numbered formula; dropped",
    "flattened_formula": "hold a formula whose sub- and superscripts ran together; dropped",
    "latex_source": "hold LaTeX commands; dropped",
    "address": "give an address on the web or promise code or data; taken out, or dropped",
    "citation": 'cite other work; taken out, or put as "prior work"',
    "citation_as_subject": "begin with a citation that is their subject; dropped",
    "citation_as_noun": "cite other work by a number that stands for a noun; dropped",
    "stray_reference": "name the figure where a preposition is missing, or a panel without a name; dropped",
    "wrong_symbols": "hold symbols that a bad font or a lost index put in place of others; dropped",
    "footnote_mark": "hold a footnote mark; taken out",
    "viewing_advice": "say how the page is best viewed; taken out, or dropped",
    "section_reference": "point to a section; taken out, or dropped",
    "supplement_reference": "point to a supplement or an appendix; taken out, or dropped",
    "equation_reference": "point to an equation; taken out, or dropped",
    "statement_reference": "point to an algorithm, a theorem or the like; taken out, or dropped",
    "table_reference": "point to a table; taken out, or dropped",
    "other_figure_reference": "point to another figure; taken out, or dropped",
    "about_the_paper": "are about the paper's structure or contributions; dropped",
    "missing_subject": 'begin with what the figure does, "Shows the network"; the verb is taken out',
    "question_asked": "ask something; dropped",
    "future_work": "tell of work that is not done yet; dropped",
    "text_reference": "point to the text of the paper; taken out, or dropped",
    "bare_pointer": "only tell the reader to look; dropped",
    "mostly_symbols": "are symbols for the most part; dropped",
    "broken_off": "begin or end in the middle; dropped",
    "unseen_number": "give a number that neither caption nor prompt shows; dropped",
    "broken_list": "stand in or behind a list of panels one of which was dropped; dropped",
    "leans_on_removed": "lean on a sentence that was dropped; dropped",
}
"""Rules that clean the sentences of targets. Each continues "12 sentences"."""

SETTINGS: Mapping[str, str] = {
    "table_kept_apart": "--prepare.include_tables",
    "low_confidence": "--prepare.min_confidence",
    "image_too_small": "--prepare.min_side_pixels",
    "extreme_aspect_ratio": "--prepare.max_aspect_ratio",
    "blank_image": "--prepare.min_ink_share",
    "not_english": "--prepare.english_only",
    "low_quality": "--prepare.min_quality",
    "near_duplicate_across_splits": "--prepare.near_duplicate_bits",
    "no_id": "--data.id_column",
    "too_short": "--prepare.min_words",
    "no_sentence_fits": "--prepare.max_words",
}
"""Flags to change where a rule is too strict."""


def meaning(rule: str) -> str:
    """Return what a rule is against, as the end of a sentence; empty for one of a newer version."""
    return WHOLE.get(rule) or EXAMPLE.get(rule) or SENTENCE.get(rule) or ""


def rejection_lines(stats: Stats) -> Iterator[str]:
    """Yield, for the screen, how many whole figures or rows and how many examples were rejected, rule by rule."""
    items = "rows" if stats.data_set else "figures and tables"
    if stats.figure_rejections:
        yield f"rejected: {count(stats.figures_rejected, items)}: {_by_rule(stats.figure_rejections)}"
    if stats.example_rejections:
        yield f"rejected: {count(stats.examples_rejected, 'examples')}: {_by_rule(stats.example_rejections)}"


def _by_rule(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts, key=lambda rule: (-counts[rule], rule))
    return "; ".join(f"{counts[rule]:,} {_explained(rule)}" for rule in ordered)


def _explained(rule: str) -> str:
    flag = f" ({SETTINGS[rule]})" if rule in SETTINGS else ""
    return f"{meaning(rule) or rule}{flag}"
