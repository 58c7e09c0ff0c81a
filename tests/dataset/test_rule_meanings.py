"""Every rule name that preparation can write has one explanation, and all places show that one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from docs.rules import PAGE, rules_page
from figtune.dataset.cleaning import CHECKS
from figtune.dataset.records import Stats
from figtune.dataset.rule_meanings import EXAMPLE, SENTENCE, SETTINGS, WHOLE, meaning, rejection_lines
from figtune.dataset.text_rules import RULES
from tests.conftest import ROOT

_PREPARATION = sorted((ROOT / "figtune" / "dataset").glob("*.py"))
_OUTCOMES = ("Fault", "RejectReason")


def _names_in_the_code() -> Iterator[str]:
    """First arguments of rejections, values of `reject_rule`, and keys that cleaning counts by."""
    for path in _PREPARATION:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(rule)), *_]) if name in _OUTCOMES:
                    yield rule
                case ast.Subscript(value=ast.Name(id="removed"), slice=ast.Constant(value=str(rule))):
                    yield rule


def test_every_rule_is_explained_and_none_that_is_not_there() -> None:
    tasks = {"nothing_left_of_caption", "headline_lost", "panel_without_own_caption", "no_sure_question"}
    reading = {"no_words_in_figure", "too_many_words_in_figure", "unreadable_words_in_figure", "words_cut_in_panel"}
    citing = {"no_citing_text", "only_repeats_caption", "nothing_left_of_citing_text"}
    cleaning = (
        {rule.name for rule in RULES}
        | {"mostly_symbols", "broken_off", "unseen_number", "question_asked"}
        | dict(CHECKS).keys()
    )
    assert {*_names_in_the_code(), *tasks, *reading, *citing, *cleaning} - {*WHOLE, *EXAMPLE, *SENTENCE} == set()
    text = "".join(path.read_text(encoding="utf-8") for path in _PREPARATION if path.name != "rule_meanings.py")
    assert [rule for rule in (*WHOLE, *EXAMPLE, *SENTENCE) if f'"{rule}"' not in text] == []
    assert _PREPARATION
    assert set(SETTINGS) <= {*WHOLE, *EXAMPLE}
    assert meaning("a rule of tomorrow") == ""


def test_the_page_of_rules_is_made_from_the_same_words() -> None:
    assert PAGE.read_text(encoding="utf-8") == rules_page(), "run: python -m docs.rules"


def test_the_screen_names_the_reasons_most_frequent_first() -> None:
    stats = Stats(
        data_set="",
        figures=90,
        figures_used=4,
        figures_rejected=86,
        examples_rejected=1,
        groups={},
        examples={},
        minitrain=0,
        kinds={},
        figure_rejections={"no_caption": 1, "table_kept_apart": 85},
        example_rejections={"nothing_left_of_citing_text": 1},
        cleaned={},
        shortened={},
        completion_words={},
        empty_splits=(),
        duplicates=0,
        image_remarks={},
        quality={},
    )
    assert list(rejection_lines(stats)) == [
        "rejected: 86 figures and tables: 85 left out as tables, which is the default (--prepare.include_tables); "
        "1 without a caption, or with nothing but its label",
        "rejected: 1 example: 1 for which cleaning left no sentence of the paragraphs that cite the figure",
    ]
