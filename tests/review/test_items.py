"""Items as filters choose them, and the way from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from figtune.core.errors import ArtifactMissingError, InputError, NothingProducedError
from figtune.dataset.decisions import read_decisions
from figtune.review.items import ItemFilter, ItemView
from figtune.review.session import RefusedDecisionError, ReviewSession, UnknownItemError
from tests.dataset.content_maker import figure
from tests.review import review_maker
from tests.rows import each_row

ALL = ItemFilter(rule="all", shown="all")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[ReviewSession]:
    review_maker.prepare(tmp_path)
    with closing(review_maker.session(tmp_path)) as made:
        yield made


def walk(session: ReviewSession, chosen: ItemFilter, *, forward: bool = True) -> list[ItemView]:
    """All items on the way from one end to the other."""
    found: list[ItemView] = []
    while True:
        step = session.step(chosen, found[-1].id if found else "", forward=forward)
        assert step.position == (len(found) + 1 if forward else step.total - len(found))
        if step.item is None:
            assert step.total == len(found)
            return found
        found.append(step.item)


def named(items: list[ItemView]) -> list[str]:
    return [f"{item.candidate.source.partition('.')[0]} {item.task}" for item in items]


def test_every_item_is_reached_from_both_ends(session: ReviewSession) -> None:
    everything = walk(session, ALL)
    assert named(everything) == [
        *("ada caption", "ada explain", "bell caption", "bell explain", "curie caption", "curie explain"),
        "darwin figure",
    ]
    assert walk(session, ALL, forward=False) == everything[::-1]
    assert session.choices().items == len(everything)
    assert session.choices().tasks == ["caption", "explain", "figure"]
    assert list(session.choices().rules) == ["low_confidence"]


@each_row(
    ("chosen", "expected"),
    [
        (ItemFilter(), {"caption", "explain"}),
        (ItemFilter(task="caption"), {"caption"}),
        (ItemFilter(rule="any"), {"figure"}),
        (ItemFilter(rule="low_confidence"), {"figure"}),
        (ItemFilter(rule="low_quality"), set()),
        (ItemFilter(high=0.5), set()),
        (ItemFilter(shown="accepted"), set()),
        (ItemFilter(task="nothing"), set()),
    ],
)
def test_filters_choose(session: ReviewSession, chosen: ItemFilter, expected: set[str]) -> None:
    found = walk(session, chosen)
    assert {item.task for item in found} == expected
    assert {item.id for item in walk(session, structs.replace(chosen, order="score"))} == {item.id for item in found}


def test_the_lowest_score_comes_first(session: ReviewSession) -> None:
    scores = [item.score for item in walk(session, ItemFilter(order="score"))]
    assert scores == sorted(scores)
    middle = scores[len(scores) // 2]
    bounded = walk(session, ItemFilter(low=middle, high=middle))
    assert bounded
    assert {item.score for item in bounded} == {middle}


def test_what_is_decided_leaves_the_list_and_keeps_its_place(session: ReviewSession) -> None:
    first, second, *_ = walk(session, ItemFilter())
    session.decide(first.id, "accept", "")
    step = session.step(ItemFilter(), first.id, forward=True)
    assert step.item is not None
    assert (step.item.id, step.left, step.total, step.position) == (second.id, 5, 5, 1)
    session.decide(second.id, "accept", " Mine. \n")
    assert [each.state for each in walk(session, ItemFilter(shown="all"))][:3] == ["accepted", "edited", "open"]
    assert session.item(second.id).text == "Mine."
    assert [each.id for each in walk(session, ItemFilter(shown="edited"))] == [second.id]
    session.decide(first.id, "", "")
    session.decide(second.id, "accept", second.candidate.key.target)
    assert [each.state for each in walk(session, ItemFilter(shown="all"))][:2] == ["open", "accepted"]


def test_examples_go_with_a_rejected_figure(session: ReviewSession, tmp_path: Path) -> None:
    first, second, third, *_ = walk(session, ItemFilter())
    session.decide(second.id, "accept", "")
    session.decide_figure(first.id, "reject")
    assert [(each.state, each.decided) for each in map(session.item, (first.id, second.id, third.id))] == [
        ("rejected", False),
        ("accepted", True),
        ("open", False),
    ]
    assert session.step(ItemFilter(), "", forward=True).left == 4
    session.decide_figure(second.id, "")
    assert session.step(ItemFilter(), "", forward=True).left == 5
    assert len(read_decisions(tmp_path / "decisions.jsonl")) == 1


def test_refused_decisions_change_nothing(session: ReviewSession, tmp_path: Path) -> None:
    first = walk(session, ItemFilter())[0]
    whole = walk(session, ItemFilter(rule="any"))[0]
    changes: tuple[Callable[[], None], ...] = (
        lambda: session.decide(first.id, "reject", "a text"),
        lambda: session.decide(first.id, "accept", "x" * 20_001),
        lambda: session.decide(whole.id, "accept", "a text"),
        lambda: session.decide_figure(first.id, "accept"),
        lambda: session.set_box(first.id, (0.0, 0.0, 10.0, 10.0)),
        lambda: session.set_box(first.id, (90.0, 150.0, 80.0, 160.0)),
        lambda: session.set_box(first.id, (60.0, 150.0, float("nan"), 160.0)),
    )
    for change in changes:
        with pytest.raises(RefusedDecisionError):
            change()
    with pytest.raises(UnknownItemError):
        session.decide("0" * 16, "reject", "")
    assert not (tmp_path / "decisions.jsonl").exists()


def test_a_box_inside_the_crop_is_kept_beside_a_verdict(session: ReviewSession, tmp_path: Path) -> None:
    first = walk(session, ItemFilter())[0]
    assert first.figure is not None
    assert first.figure.record.region_box == (50.0, 100.0, 290.0, 290.0)
    canvas = session.canvas(first.id)
    assert canvas is not None
    assert (canvas.area, canvas.is_page) == ((49.0, 99.0, 291.0, 291.0), False)
    session.decide_figure(first.id, "reject")
    session.set_box(first.id, (60.04, 110.0, 200.0, 250.0))
    (decision,) = read_decisions(tmp_path / "decisions.jsonl").values()
    assert (decision.verdict, decision.box) == ("reject", (60.0, 110.0, 200.0, 250.0))
    session.decide_figure(first.id, "")
    session.set_box(first.id, None)
    assert read_decisions(tmp_path / "decisions.jsonl") == {}
    assert session.picture(first.id).startswith(b"\x89PNG")
    assert session.canvas_picture(first.id).startswith(b"\x89PNG")


def test_another_preparation_is_noticed_and_shows_earlier_decisions(session: ReviewSession, tmp_path: Path) -> None:
    first = walk(session, ItemFilter())[0]
    session.decide(first.id, "reject", "")
    changed = replace(figure("ada"), caption="Figure 1. An overview of quite another network with three heads.")
    review_maker.prepare(tmp_path, [changed, figure("bell")])
    assert session.item(first.id).candidate.key.target == first.candidate.key.target, "until the page is loaded again"
    assert session.choices().items == 4
    with pytest.raises(UnknownItemError):
        session.item(first.id)
    found = walk(session, ItemFilter())[0]
    assert found.state == "open"
    expected = [("rejected", first.candidate.key.target)]
    assert [(each.state, each.target) for each in found.earlier] == expected


def test_what_cannot_be_accepted_is_not_left_to_do(tmp_path: Path) -> None:
    review_maker.prepare(tmp_path, [figure("ada"), replace(figure("bell"), caption="Figure 1.")])
    with closing(review_maker.session(tmp_path)) as session:
        nameless = walk(session, ItemFilter(rule="no_caption", shown="all"))
        assert [each.candidate.acceptable for each in nameless] == [False]
        step = session.step(ItemFilter(rule="no_caption"), "", forward=True)
        assert (step.item, step.left, step.total) == (None, 0, 0)


def test_what_a_preparation_that_kept_nothing_rejected_is_shown_until_another_one(tmp_path: Path) -> None:
    review_maker.prepare(tmp_path)
    with pytest.raises(NothingProducedError):
        review_maker.prepare(tmp_path, min_quality=1.0, dataset=".rejected")
    arguments = (tmp_path / "dataset", tmp_path / "content", None, tmp_path / "decisions.jsonl", tmp_path / ".rejected")
    with closing(ReviewSession(*arguments)) as session:
        assert session.choices().kept == 0
        assert set(session.choices().rules) == {"low_confidence", "low_quality"}
        (first, *_) = walk(session, ItemFilter(rule="low_quality"))
        assert first.candidate.acceptable
        assert session.picture(first.id)
        session.decide(first.id, "accept", "")
        (tmp_path / ".rejected" / "candidates.jsonl").unlink()
        assert session.choices().kept == 6
    review_maker.prepare(tmp_path, min_quality=1.0, dataset=".rejected")
    with closing(ReviewSession(*arguments)) as session:
        assert [item.id for item in walk(session, structs.replace(ALL, shown="accepted"))] == [first.id]


def test_a_data_set_without_candidates_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"candidates.jsonl is not there; make it with"):
        review_maker.session(tmp_path)
    review_maker.prepare(tmp_path)
    with (tmp_path / "dataset" / "candidates.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match=r"candidates.jsonl:8: "):
        review_maker.session(tmp_path)
