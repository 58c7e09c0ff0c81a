"""The verdict claims what the intervals allow, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from figtune.metrics.aggregate import aggregate
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.records import BASELINES, Baseline, Prediction, Source, Verdict
from figtune.metrics.short_answers import short_scores
from figtune.metrics.verdict import join_names, summarize
from tests.metrics.sample_predictions import prediction
from tests.rows import each_row

BOOTSTRAP = Bootstrap(samples=500, seed=0)


def judged(predictions: Sequence[Prediction], *, demo: bool = False, source: Source = "papers") -> Verdict:
    return summarize(aggregate(predictions, BOOTSTRAP), short_scores(predictions, BOOTSTRAP), demo=demo, source=source)


def test_a_clear_gain_is_called_one() -> None:
    verdict = judged([prediction(n, base_loss=3.0 + n / 10, tuned_loss=1.0) for n in range(6)])
    assert verdict.sentence == (
        "Fine-tuning helped on held-out papers: the loss fell by 2.25 nats per token, from 3.25 to 1.00 "
        "(95 % interval 2.13 to 2.38, p = 0.031), and its answers are better than the base model's; it uses the "
        "image: a mismatched image raises its loss by 0.50 nats per token "
        "(95 % interval 0.50 to 0.50, p = 0.031)."
    )
    assert (verdict.helped, verdict.image_use, verdict.headline) == ("better", "uses image", "")
    assert verdict.notes == (
        "Its answers are better by BLEU-4, ROUGE-L and chrF, not shown to be different by CIDEr-D.",
    )


def test_a_model_that_was_trained_on_another_data_set_is_not_said_to_know_nothing_of_this_one() -> None:
    predictions = [prediction(n, base_loss=3.0 + n / 10, tuned_loss=1.0) for n in range(6)]
    slices, short = aggregate(predictions, BOOTSTRAP), short_scores(predictions, BOOTSTRAP)
    verdict = summarize(slices, short, demo=False, source="papers", trained_on_another=True)
    assert verdict.headline == (
        "This model was trained on another data set than the one here: papers called held out may be among those it "
        "was trained on."
    )


def test_a_clear_loss_is_called_one() -> None:
    verdict = judged([prediction(n, base_loss=1.0, tuned_loss=2.0 + n / 10, tuned_answer="Nothing.") for n in range(6)])
    assert verdict.sentence.startswith(
        "Fine-tuning made the model worse on held-out papers: the loss rose by 1.25 nats per token, from 1.00 to 2.25"
    )
    assert verdict.helped == "worse"


def test_what_the_test_does_not_show_is_no_result() -> None:
    predictions = [
        prediction(
            n,
            base_loss=2.0,
            tuned_loss=2.0 + (-1) ** n,
            wrong_image_loss=2.0 - (-1) ** n,
            tuned_answer="Nothing.",
        )
        for n in range(6)
    ]
    verdict = judged(predictions)
    assert verdict.sentence.startswith(
        "Fine-tuning is not shown to make the model better on held-out papers: the loss stayed at 2.00 nats per token ("
    )
    assert "p = 1)" in verdict.sentence
    assert "it is not shown to use the image" in verdict.sentence
    assert (verdict.helped, verdict.image_use) == ("not shown", "not shown")


def test_a_model_that_ignores_its_pictures_is_called_that() -> None:
    verdict = judged([prediction(n, tuned_loss=1.0, wrong_image_loss=1.0 + 0.01 * (-1) ** n) for n in range(6)])
    assert verdict.image_use == "ignores"
    assert verdict.headline.startswith("This model ignores its images: ")
    assert "it ignores the image: a mismatched image raises its loss by 0.00 nats" in verdict.sentence
    surely_next_to_nothing = [prediction(n, tuned_loss=1.0, wrong_image_loss=1.01) for n in range(6)]
    assert judged(surely_next_to_nothing).image_use == "ignores"
    few = judged([prediction(n, tuned_loss=1.0, wrong_image_loss=0.9) for n in range(2)])
    assert few.headline.startswith("This model seems to ignore its images: ")


@each_row(
    ("source", "demo", "wrong_image_loss", "told"),
    [
        ("papers", False, 1.0, True),
        ("papers", False, 1.5, False),
        ("papers", True, 1.0, False),
        ("images", False, 1.0, False),
    ],
)
def test_what_teaches_looking_is_told_where_it_is_lacking(
    source: Source, demo: bool, wrong_image_loss: float, told: bool
) -> None:
    predictions = [prediction(n, tuned_loss=1.0, wrong_image_loss=wrong_image_loss) for n in range(6)]
    notes = judged(predictions, demo=demo, source=source).notes
    assert any("--train.loss_per example" in note for note in notes) == told


def test_a_model_that_knows_only_its_training_pictures_is_not_said_to_ignore_all() -> None:
    held_out = [prediction(n, tuned_loss=1.0, wrong_image_loss=0.9) for n in range(6)]
    trained = [prediction(n, split="minitrain", tuned_loss=0.1, wrong_image_loss=4.0) for n in range(10, 16)]
    verdict = judged([*held_out, *trained])
    assert (verdict.image_use, verdict.headline) == ("memorised only", "")
    assert (
        "it uses the images that it was trained on, but not new ones: a mismatched image lowers its loss by 0.10"
        in verdict.sentence
    )


def test_a_change_too_small_to_matter_is_none_however_sure_it_is() -> None:
    verdict = judged([prediction(n, base_loss=1.0, tuned_loss=0.999, tuned_answer="Nothing.") for n in range(12)])
    assert verdict.sentence.startswith(
        "Fine-tuning made no difference that counts on held-out papers: the loss fell by 0.00 nats per token, from "
        "1.00 to 1.00 (95 % interval 0.00 to 0.00, p < 0.001), less than the 0.02 that count; "
    )
    assert (verdict.helped, verdict.headline) == ("not shown", "")


def test_a_lower_loss_with_worse_answers_is_mixed() -> None:
    text = "A plot of accuracy over time."
    verdict = judged([prediction(n, base_answer=text, tuned_answer="Nothing.", reference=text) for n in range(6)])
    assert verdict.helped == "mixed"
    assert verdict.headline == "Mixed result: the loss fell, but its answers are worse than the base model's."
    assert verdict.sentence.startswith(
        "Fine-tuning has mixed effects on held-out papers: the loss fell by 2.00 nats per token, from 3.00 to 1.00 "
        "(95 % interval 2.00 to 2.00, p = 0.031), but its answers are worse than the base model's; "
    )


def test_better_answers_with_a_higher_loss_are_mixed() -> None:
    verdict = judged([prediction(n, base_loss=1.0, tuned_loss=2.0) for n in range(6)])
    assert verdict.helped == "mixed"
    assert "the loss rose, but its answers are better than the base model's" in verdict.headline


def test_answers_that_every_baseline_beats_are_no_help() -> None:
    guesses: dict[Baseline, str] = dict.fromkeys(BASELINES, "A plot of accuracy over days.")
    verdict = judged([prediction(n, tuned_answer="the the the", guesses=guesses) for n in range(6)])
    assert verdict.helped == "mixed"
    assert "all 4 baselines, which need no model, answer better" in verdict.sentence
    one_left: dict[Baseline, str] = {**guesses, "frequent words": "No."}
    kept = judged([prediction(n, tuned_answer="A plot of time.", guesses=one_left) for n in range(6)])
    assert kept.helped == "better"


def test_answers_that_repeat_themselves_are_no_help() -> None:
    stuck = "a plot of time " * 8
    verdict = judged([prediction(n, tuned_answer=stuck) for n in range(6)])
    assert verdict.helped == "mixed"
    assert "its answers repeat themselves (86 % of their 4-word sequences)" in verdict.sentence
    assert "its answers are empty" in judged([prediction(n, tuned_answer="") for n in range(6)]).sentence


def test_tasks_are_told_apart() -> None:
    tuned = {"caption": 1.0, "explain": 4.0}
    predictions = [
        prediction(n, group=f"paper-{n // 3}", task=task, base_loss=3.0, tuned_loss=loss)
        for n in range(18)
        for task, loss in (*tuned.items(), ("analyze", 3.0 + (-1) ** (n // 3)))
    ]
    assert "better at caption, worse at explain, not shown to be different at analyze" in judged(predictions).sentence


def test_one_test_paper_proves_nothing() -> None:
    verdict = judged([prediction(n, group="the only one") for n in range(8)])
    assert verdict.sentence == (
        "Fine-tuning is not shown to make the model better on held-out papers: the loss fell by 2.00 nats per "
        "token, from 3.00 to 1.00 (no interval: one paper allows no test); it is not shown to use the image: a "
        "mismatched image raises its loss by 0.50 nats per token (no interval)."
    )
    assert verdict.notes == ()


def test_few_test_papers_prove_nothing_either() -> None:
    verdict = judged([prediction(n) for n in range(5)])
    assert "not shown to make the model better on held-out papers" in verdict.sentence
    assert "p = 0.062: 5 papers are too few for a significant result" in verdict.sentence


def test_scans_are_not_called_papers() -> None:
    sentence = judged([prediction(n) for n in range(6)], source="images").sentence
    assert sentence.startswith("Fine-tuning helped on held-out images:")
    alone = judged([prediction(n, split="minitrain") for n in range(2)], source="groups")
    text = " ".join((alone.sentence, *alone.notes))
    assert "2 groups of rows that share an id are too few" in text
    assert "training images" in text
    assert "paper" not in text
    assert "figure" not in text


def test_losses_that_are_no_numbers_are_mentioned() -> None:
    some = judged([prediction(n, tuned_loss=1.0 if n else None) for n in range(7)])
    assert some.notes[0].startswith("Held-out papers: the loss is not finite for 1 of 7 examples")
    none = judged([prediction(n, tuned_loss=None) for n in range(7)])
    assert none.sentence.startswith("The effect of fine-tuning on held-out papers is unknown: no loss is finite")
    assert none.helped == "not shown"


def test_a_baseline_that_does_as_well_is_mentioned() -> None:
    references = ["A plot of loss.", "A mask of objects.", "An encoder with attention."]
    predictions = [
        prediction(n, reference=text, tuned_answer="Nothing.", guesses={"nearest picture": text})
        for n, text in enumerate(references)
    ]
    assert judged(predictions).notes == (
        'The baseline "nearest picture", which needs no model, reaches a CIDEr-D of 10.00, the tuned model 0.00.',
    )


def test_without_a_test_split_nothing_is_said_of_new_figures() -> None:
    verdict = judged([prediction(n, split="minitrain") for n in range(6)])
    assert verdict.sentence.startswith("Fine-tuning helped on training figures:")
    assert "held-out" not in verdict.sentence
    assert "No paper was held out for the test" in verdict.notes[0]


def test_memorising_shows_beside_the_held_out_papers() -> None:
    held_out = [prediction(n, tuned_loss=2.5) for n in range(6)]
    trained = [prediction(n, split="minitrain", tuned_loss=0.1, wrong_image_loss=4.0) for n in range(10, 16)]
    assert judged([*held_out, *trained]).notes[-2:] == (
        "On training figures the loss fell by 2.90 nats per token, from 3.00 to 0.10: what exceeds the held-out "
        "papers is memorisation.",
        "On training figures a mismatched image raises its loss by 3.90 nats per token "
        "(95 % interval 3.90 to 3.90, p = 0.031).",
    )


def test_one_picture_cannot_be_exchanged() -> None:
    sentence = judged([prediction(n, wrong_image=None, wrong_image_loss=None) for n in range(6)]).sentence
    assert sentence.endswith("could not be tested, since the split has only one image.")


def test_the_demo_model_is_called_one() -> None:
    assert judged([prediction(n) for n in range(6)], demo=True).notes[0].startswith("This is the demo model: tiny")


def test_answers_that_never_end_are_mentioned() -> None:
    notes = judged([prediction(n, ended_with_eos=n == 0) for n in range(6)]).notes
    assert notes[1:] == (
        "Only 17 % of the tuned model's answers ended with EOS; longer answers are cut at --test.max_new_tokens.",
    )


def test_lists_read_like_english() -> None:
    assert [join_names(["a"]), join_names(["a", "b"]), join_names(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
