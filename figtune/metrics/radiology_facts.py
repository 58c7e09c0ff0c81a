"""Facts in radiology reports (modality, sequence, view, side, share of the image), extracted by regular expressions.

A fact is the set of values that a text names: "axial and coronal" is {axial, coronal}. An answer agrees with its
reference if it names exactly the same values. Negation is not handled: "no CT was made" names a CT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean

from figtune.metrics.bootstrap import Bootstrap, estimate
from figtune.metrics.records import BASELINES, EVALUATED_SPLITS, EvaluatedSplit, FactScores, Prediction, System

FactValues = frozenset[str]

_SHARE_STEP = 10
"""Bin width in percent for shares of the image: "about 12 %" agrees with "14 %", not with "40 %"."""


def _patterns(**patterns: str) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"(?i)\b(?:{pattern})\b") for name, pattern in patterns.items()}


_VALUES: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "modality": _patterns(
        MRI=r"MRIs?|MR|magnetic[- ]resonance|T[12]|FLAIR|DWI|SWI",
        CT=r"CTs?|CAT scans?|computed tomograph\w+|computerized tomograph\w+",
        Xray=r"x[- ]?rays?|radiographs?|radiography",
        ultrasound=r"ultrasound|sonograph\w+|sonograms?",
        PET=r"PET|positron[- ]emission",
    ),
    "sequence": _patterns(
        T1=r"T1|T1[- ]?w(?:eighted)?|T1WI",
        T2=r"T2|T2[- ]?w(?:eighted)?|T2WI",
        FLAIR=r"FLAIR|fluid[- ]attenuated",
        diffusion=r"DWI|ADC|diffusion[- ]weighted",
        susceptibility=r"SWI|susceptibility[- ]weighted|gradient[- ]echo",
    ),
    "view": _patterns(
        axial=r"axial|axially|transverse|transaxial",
        sagittal=r"(?:mid|para)?-?sagittal(?:ly)?",
        coronal=r"coronal(?:ly)?",
        frontal=r"(?:frontal|anteroposterior|posteroanterior|AP|PA) (?:view|projection|radiograph|x[- ]?ray)",
        lateral=r"lateral (?:view|projection|radiograph|x[- ]?ray)",
    ),
    "side": _patterns(left=r"left(?:-sided)?", right=r"right(?:-sided)?", both=r"bilateral(?:ly)?|both sides"),
}
_SHARE = re.compile(
    r"(?i)(\d+(?:\.\d+)?)\s?(?:%|percent|per cent)\s+(?:\w+\s+){0,3}?(?:image|scan|area|picture|slice|brain)\b"
)

FACTS = (*_VALUES, "share of the image")


def extract(fact: str, text: str) -> FactValues:
    """Return the values of a fact that a text names; empty if it names none."""
    if fact in _VALUES:
        return frozenset(value for value, pattern in _VALUES[fact].items() if pattern.search(text))
    shares = (float(found) for found in _SHARE.findall(text))
    return frozenset(f"{_SHARE_STEP * round(share / _SHARE_STEP)} %" for share in shares)


def fact_agreement(predictions: Sequence[Prediction], bootstrap: Bootstrap) -> tuple[FactScores, ...]:
    """Score every fact that a reference states, by split."""
    found = []
    for split in EVALUATED_SPLITS:
        members = [each for each in predictions if each.split == split]
        for fact in FACTS:
            telling = [each for each in members if extract(fact, each.reference)]
            if telling:
                found.append(_scores(split, fact, telling, len(members), bootstrap))
    return tuple(found)


def _scores(
    split: EvaluatedSplit, fact: str, telling: Sequence[Prediction], examples: int, bootstrap: Bootstrap
) -> FactScores:
    wanted = [extract(fact, each.reference) for each in telling]
    groups = [each.group for each in telling]
    said = {system: [extract(fact, answer) for answer in answers] for system, answers in _answers(telling).items()}
    return FactScores(
        split=split,
        fact=fact,
        stated=len(telling),
        examples=examples,
        agreement={
            system: estimate(
                [float(one == other) for one, other in zip(values, wanted, strict=True)],
                [1.0] * len(telling),
                groups,
                bootstrap,
            )
            for system, values in said.items()
        },
        silent={system: round(fmean(not value for value in values), 4) for system, values in said.items()},
    )


def _answers(members: Sequence[Prediction]) -> dict[System, list[str]]:
    """Collect the answers of every system that answered all examples."""
    answers: dict[System, list[str]] = {
        "tuned": [each.tuned.answer for each in members],
        "base": [each.base.answer for each in members],
    }
    for baseline in BASELINES:
        given = [guess.answer for each in members for guess in each.guesses if guess.baseline == baseline]
        if len(given) == len(members):
            answers[baseline] = given
    return answers
