"""The verdict claims what the intervals allow, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from figtune.metrics.intervals import Bootstrap
from figtune.metrics.records import Prediction, Verdict
from figtune.metrics.slices import measure
from figtune.metrics.verdict import judge, listed
from tests.metrics.making import prediction

BOOTSTRAP = Bootstrap(samples=500, seed=0)


def judged(predictions: Sequence[Prediction], *, demo: bool = False) -> Verdict:
    return judge(measure(predictions, BOOTSTRAP), demo=demo)


def test_a_clear_gain_is_called_one() -> None:
    verdict = judged([prediction(n, base_loss=3.0 + n / 10, tuned_loss=1.0) for n in range(6)])
    assert verdict.sentence == (
        "Fine-tuning helped on held-out papers: the loss fell from 3.25 to 1.00 nats per token "
        "(95 % interval 2.13 to 2.38); it looks at the picture: a wrong one costs it 0.50 nats per token "
        "(95 % interval 0.50 to 0.50)."
    )
    assert verdict.notes == ()


def test_a_clear_loss_is_called_one() -> None:
    verdict = judged([prediction(n, base_loss=1.0, tuned_loss=2.0 + n / 10) for n in range(6)])
    assert verdict.sentence.startswith(
        "Fine-tuning made the model worse on held-out papers: the loss rose from 1.00 to 2.25"
    )


def test_an_interval_that_spans_zero_is_no_result() -> None:
    predictions = [
        prediction(n, base_loss=2.0, tuned_loss=2.0 + (-1) ** n, wrong_image_loss=2.0 - (-1) ** n) for n in range(6)
    ]
    sentence = judged(predictions).sentence
    assert sentence.startswith("Whether fine-tuning helped on held-out papers cannot be told: the loss went from 2.00")
    assert "the interval of the drop spans zero" in sentence
    assert "it shows no sign of looking at the picture" in sentence


def test_a_model_that_prefers_the_wrong_picture_does_not_look() -> None:
    sentence = judged([prediction(n, tuned_loss=1.0, wrong_image_loss=0.9) for n in range(6)]).sentence
    assert "it shows no sign of looking at the picture: a wrong one costs it -0.10 nats" in sentence


def test_tasks_are_told_apart() -> None:
    tuned = {"caption": 1.0, "explain": 4.0}
    predictions = [
        prediction(n, group=f"paper-{n // 3}", task=task, base_loss=3.0, tuned_loss=loss)
        for n in range(18)
        for task, loss in (*tuned.items(), ("analyze", 3.0 + (-1) ** (n // 3)))
    ]
    assert "better at caption, worse at explain, not clearly different at analyze" in judged(predictions).sentence


def test_one_test_paper_proves_nothing() -> None:
    verdict = judged([prediction(n, group="the only one") for n in range(8)])
    assert verdict.sentence.startswith(
        "Whether fine-tuning helped on held-out papers cannot be told from one paper: there the loss fell from 3.00"
    )
    assert "whether it looks at the picture cannot be told either" in verdict.sentence
    assert "helped on held-out papers:" not in verdict.sentence
    assert verdict.notes == (
        "All test figures come from one paper: there is no interval, and another paper may say otherwise.",
    )


def test_few_test_papers_are_mentioned() -> None:
    verdict = judged([prediction(n) for n in range(3)])
    assert verdict.notes == ("There are only 3 test papers: so few prove nothing, and the intervals are rough.",)
    assert verdict.sentence.startswith("Fine-tuning seems to have helped on held-out papers:")
    assert "it seems to look at the picture" in verdict.sentence
    worse = judged([prediction(n, base_loss=0.5) for n in range(3)])
    assert worse.sentence.startswith("Fine-tuning seems to have made the model worse on held-out papers:")


def test_without_a_test_split_nothing_is_said_of_new_figures() -> None:
    verdict = judged([prediction(n, split="minitrain") for n in range(6)])
    assert verdict.sentence.startswith("Fine-tuning helped on training figures:")
    assert "held-out" not in verdict.sentence
    assert "No paper was held out for the test" in verdict.notes[0]


def test_memorising_shows_beside_the_held_out_papers() -> None:
    held_out = [prediction(n, tuned_loss=2.5) for n in range(6)]
    trained = [prediction(n, split="minitrain", tuned_loss=0.1, wrong_image_loss=4.0) for n in range(10, 16)]
    assert judged([*held_out, *trained]).notes == (
        "On training figures the loss fell from 3.00 to 0.10: what goes beyond the held-out papers is memorised.",
        "On training figures a wrong picture costs it 3.90 nats per token (95 % interval 3.90 to 3.90).",
    )


def test_one_picture_cannot_be_exchanged() -> None:
    sentence = judged([prediction(n, wrong_image_loss=None) for n in range(6)]).sentence
    assert sentence.endswith("whether it looks at the picture could not be tested, since there is only one picture.")


def test_the_demo_model_is_called_one() -> None:
    assert judged([prediction(n) for n in range(6)], demo=True).notes[0].startswith("This is the demo model: tiny")


def test_answers_that_never_end_are_mentioned() -> None:
    notes = judged([prediction(n, stopped=n == 0) for n in range(6)]).notes
    assert notes == (
        "Only 17% of the tuned model's answers ended by themselves; answers are cut at --test.max_new_tokens.",
    )


def test_lists_read_like_english() -> None:
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
