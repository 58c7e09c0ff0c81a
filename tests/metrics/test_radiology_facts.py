"""Facts that reports of scans assert, and F1 of answers on them."""

from __future__ import annotations

import pytest

from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.radiology_facts import HEALTHY, extract, fact_scores, is_healthy
from tests.metrics.sample_predictions import prediction
from tests.rows import each_row

BOOTSTRAP = Bootstrap(samples=100, seed=0)


@each_row(
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


@each_row(
    ("text", "values"),
    [
        ("A large glioblastoma with edema.", {"glioma", "edema"}),
        ("No hemorrhage, infarct, or midline shift.", set()),
        ("No hemorrhage, infarct or mass; mild atrophy.", {"atrophy"}),
        ("Without evidence of hemorrhage or hydrocephalus, there is a meningioma.", {"meningioma"}),
        ("There is no edema but a cyst in the left temporal lobe.", {"cyst"}),
        ("Neither hemorrhage nor infarction, however a tumor.", {"tumour"}),
        ("A mass is not seen. Old infarct.", {"infarct"}),
        ("Hemorrhage was ruled out.", set()),
        ("Hemorrhage cannot be excluded.", {"hemorrhage"}),
        ("Metastasis could not be entirely ruled out.", {"metastasis"}),
        ("Not without edema.", {"edema"}),
        ("No change in the tumour.", {"tumour"}),
        ("No significant increase of the lesion.", {"lesion"}),
        ("Not only edema, also a shift of the midline with mass effect.", {"edema", "shift"}),
        ("Negative for acute hemorrhage. Free of metastases.", set()),
        ("Absence of mass effect", set()),
        ("Findings:\n- tumor\n- no edema\n- hydrocephalus", {"tumour", "hydrocephalus"}),
        ("Edema is absent, hydrocephalus is present.", {"hydrocephalus"}),
        ("The pituitary adenoma measures 1.2 cm.", {"pituitary"}),
        ("Possible glioma, likely low grade.", {"glioma"}),
        ("HAEMORRHAGIC stroke", {"hemorrhage", "infarct"}),
        ("A massive, normal brain", set()),
    ],
)
def test_findings_are_those_asserted(text: str, values: set[str]) -> None:
    assert extract("finding", text) == values


@each_row(
    ("text", "healthy"),
    [
        ("No abnormality.", True),
        ("No acute intracranial pathology is seen.", True),
        ("The scan appears normal.", True),
        ("Unremarkable MRI of the brain.", True),
        ("Normal brain, no tumor.", True),
        ("Within normal limits.", True),
        ("The ventricles are not normal.", False),
        ("Abnormal signal.", False),
        ("Normal brain but for a meningioma.", False),
        ("A tumor.", False),
        ("An axial MRI.", False),
    ],
)
def test_healthy_is_what_says_so_and_asserts_no_finding(text: str, healthy: bool) -> None:
    assert is_healthy(text) is healthy


def test_location_and_side_go_with_the_finding_that_is_asserted() -> None:
    text = "A meningioma in the left frontal lobe; no lesion in the right temporal lobe."
    assert extract("location", text) == {"frontal"}
    assert extract("side", text) == {"left"}


def test_f1_counts_what_is_right_added_and_missing() -> None:
    predictions = [
        prediction(1, reference="An axial MRI.", tuned_answer="Axial MRI.", base_answer="A picture."),
        prediction(2, reference="A coronal MRI.", tuned_answer="An axial MRI.", base_answer="A CT scan."),
        prediction(3, reference="A CT scan.", tuned_answer="A CT scan.", base_answer="Coronal."),
        prediction(4, reference="No abnormality.", tuned_answer="No tumor. Axial.", base_answer="A tumor."),
    ]
    found = {each.fact: each for each in fact_scores(predictions, BOOTSTRAP)}
    assert sorted(found) == ["modality", HEALTHY, "view"]
    view, modality, healthy = found["view"], found["modality"], found[HEALTHY]
    assert (view.measure, view.stated, view.examples) == ("F1", 2, 4)
    # Right: axial. Added: axial twice. Missing: coronal.
    assert view.scores["tuned"].value == pytest.approx(2 / (2 + 2 + 1), abs=1e-4)
    assert view.scores["base"].value == 0
    assert (modality.stated, modality.scores["tuned"].value) == (3, 1.0)
    assert (healthy.measure, healthy.stated, healthy.examples) == ("specificity", 1, 4)
    assert (healthy.scores["tuned"].value, healthy.scores["base"].value) == (1.0, 0.0)


def test_naming_every_value_is_no_better_than_its_share() -> None:
    told = [prediction(1, reference="Axial.", tuned_answer="Axial, coronal, sagittal.")]
    assert fact_scores(told, BOOTSTRAP)[0].scores["tuned"].value == 0.5


def test_baselines_are_asked_too() -> None:
    told = [prediction(n, reference="Axial.", guesses={"typical text": "An axial scan."}) for n in range(2)]
    assert fact_scores(told, BOOTSTRAP)[0].scores["typical text"].value == 1


def test_texts_without_facts_have_none() -> None:
    assert fact_scores([prediction(1)], BOOTSTRAP) == ()
