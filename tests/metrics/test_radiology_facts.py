"""Facts read off reports of scans, and how often answers agree on them."""

from __future__ import annotations

import pytest

from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.radiology_facts import extract, fact_agreement
from tests.metrics.sample_predictions import prediction

BOOTSTRAP = Bootstrap(samples=100, seed=0)


@pytest.mark.parametrize(
    ("fact", "text", "values"),
    [
        ("modality", "An axial T2-weighted MRI of the brain.", {"MRI"}),
        ("modality", "Computed tomography (CT) without contrast", {"CT"}),
        ("modality", "Chest X-ray, later an MR image.", {"Xray", "MRI"}),
        ("modality", "The infarct and the cortical ribbon; a distinct mrsa, respect.", set()),
        ("sequence", "T1-weighted, T2W and FLAIR", {"T1", "T2", "FLAIR"}),
        ("view", "AXIAL and mid-sagittal views", {"axial", "sagittal"}),
        ("view", "the coaxial cable", set()),
        ("side", "in the left frontal lobe", {"left"}),
        ("side", "bright, upright", set()),
        ("share of the image", "It covers roughly 12% of the image.", {"10 %"}),
        ("share of the image", "about 14.5 percent of the total brain area", {"10 %"}),
        ("share of the image", "in 40 % of patients", set()),
    ],
)
def test_rules_read_what_is_stated(fact: str, text: str, values: set[str]) -> None:
    assert extract(fact, text) == values


def test_agreement_is_over_the_references_that_state_the_fact() -> None:
    predictions = [
        prediction(1, reference="An axial MRI.", tuned_answer="Axial MRI.", base_answer="A picture."),
        prediction(2, reference="A coronal MRI.", tuned_answer="An axial MRI.", base_answer="A CT scan."),
        prediction(3, reference="A CT scan.", tuned_answer="A CT scan.", base_answer="Coronal."),
        prediction(4, reference="No abnormality.", tuned_answer="Axial.", base_answer="Axial."),
    ]
    found = {each.fact: each for each in fact_agreement(predictions, BOOTSTRAP)}
    assert sorted(found) == ["modality", "view"]
    view, modality = found["view"], found["modality"]
    assert (view.stated, view.examples) == (2, 4)
    assert (view.agreement["tuned"].value, view.agreement["base"].value) == (0.5, 0.0)
    assert (modality.stated, modality.agreement["tuned"].value) == (3, 1.0)
    assert modality.silent["base"] == pytest.approx(2 / 3, abs=1e-4)


def test_naming_every_value_agrees_with_none() -> None:
    told = [prediction(1, reference="Axial.", tuned_answer="Axial, coronal, sagittal.")]
    assert fact_agreement(told, BOOTSTRAP)[0].agreement["tuned"].value == 0


def test_baselines_are_asked_too() -> None:
    told = [prediction(n, reference="Axial.", guesses={"typical text": "An axial scan."}) for n in range(2)]
    assert fact_agreement(told, BOOTSTRAP)[0].agreement["typical text"].value == 1


def test_texts_without_facts_have_none() -> None:
    assert fact_agreement([prediction(1)], BOOTSTRAP) == ()
