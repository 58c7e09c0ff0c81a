"""Facts in radiology reports, as a clinician would check them, extracted by rules that a reader can follow.

A fact is the set of values that a text asserts: "a meningioma in the left frontal lobe" asserts {meningioma}, {left}
and {frontal}; "no hemorrhage or midline shift" asserts nothing. Values are found by regular expressions, and dropped
where they are negated, after NegEx (Chapman et al. 2001):

- a clause ends at `.`, `;`, `:`, a line break, "but", "however", "although", "except", "while", and at a comma before a
  new beginning ("a", "the", "there", "with", ...);
- a cue ("no", "without", "negative for", "neither", ...) negates everything behind it in its clause, lists included;
- some cues stand behind what they negate ("is not seen", "was ruled out", "is absent");
- a cue that says nothing of a finding does not count ("no change in", "not only"), nor does one that is undone ("cannot
  be excluded", "not without"): what is uncertain counts as asserted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from figtune.metrics.bootstrap import Bootstrap, Sums, bootstrap_interval, estimate, sum_by_group
from figtune.metrics.records import (
    BASELINES,
    EVALUATED_SPLITS,
    Estimate,
    EvaluatedSplit,
    FactScores,
    Prediction,
    System,
)

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
    "finding": _patterns(
        glioma=r"gliomas?|glioblastomas?|GBMs?|astrocytomas?|oligodendrogliomas?|ependymomas?",
        meningioma=r"meningiomas?",
        pituitary=r"pituitary (?:tumou?rs?|adenomas?|macroadenomas?|microadenomas?|mass(?:es)?)|macroadenomas?",
        metastasis=r"metastas[ei]s|metastatic (?:lesions?|disease|deposits?)",
        tumour=r"(?<!pituitary )(?:tumou?rs?|mass(?:es)?(?! effect))|neoplas(?:ms?|tic)|malignan(?:t|cy|cies)",
        hemorrhage=r"h(?:a)?emorrhag(?:es?|ic)|h(?:a)?ematomas?|bleed(?:s|ing)?|microbleeds?",
        infarct=r"infarct(?:s|ions?|ed)?|isch(?:a)?emi[ac]|strokes?",
        edema=r"o?edema(?:tous)?",
        hydrocephalus=r"hydrocephalus|ventriculomegaly|(?:dilated|enlarged) ventricles?|ventricular dilatation",
        shift=r"midline shift|mass effect|herniations?",
        cyst=r"cysts?|cystic",
        atrophy=r"atroph(?:y|ic)|volume loss",
        demyelination=r"demyelinat(?:ion|ing)|multiple sclerosis|white matter (?:lesions?|hyperintensit(?:y|ies))",
        lesion=r"lesions?|abscess(?:es)?|calcifications?|aneurysms?",
        fracture=r"fractures?",
    ),
    "location": _patterns(
        frontal=r"frontal(?! (?:view|projection|radiograph|x[- ]?ray))|frontoparietal",
        parietal=r"parietal|frontoparietal|parieto-?occipital",
        temporal=r"temporal",
        occipital=r"occipital|parieto-?occipital",
        cerebellum=r"cerebell(?:um|ar)|posterior fossa",
        brainstem=r"brain ?stem|pons|pontine|midbrain|medulla",
        ventricles=r"ventric(?:les?|ular)|intraventricular",
        sellar=r"sellar?|suprasellar|parasellar|pituitary",
        basal_ganglia=r"basal ganglia|thalam(?:us|ic|i)|putamen|caudate",
        corpus_callosum=r"corpus callosum",
    ),
    "side": _patterns(left=r"left(?:-sided)?", right=r"right(?:-sided)?", both=r"bilateral(?:ly)?|both sides"),
}
HEALTHY = "no abnormality"
_HEALTHY = re.compile(
    r"(?i)\b(?:no\b[^.;]{0,40}?\b(?:abnormalit(?:y|ies)|patholog(?:y|ies|ic\w*)|abnormal findings?|disease)"
    r"|(?<!not )(?<!ab)normal (?:brain|scan|study|mri|ct|x-?ray|findings?|appearance|anatomy|image|radiograph)"
    r"|(?<!not )(?:appears?|is|are|looks?) (?:entirely |completely |otherwise )?(?:normal|unremarkable|healthy)"
    r"|(?<!not )unremarkable|(?<!un)(?<!not )healthy|within normal limits)\b"
)
_CLAUSE_END = re.compile(
    r"(?i)[.;:\n](?!\d)|,?\s\b(?:but|however|although|though|except|whereas|while|yet)\b"
    r"|,\s(?=(?:a|an|the|there|with|it|this|these|which|it's|consistent|measuring|showing)\b)"
)
_NO_CUE = re.compile(
    r"(?i)\b(?:no|not)\b(?=\s+(?:\w+\s+)?(?:change|increase|decrease|growth|progression|doubt)\b)|\bnot only\b"
    r"|\b(?:cannot|can ?not|can't|could not) (?:be )?(?:entirely |completely )?(?:exclude|rule)d?(?: out)?\b"
    r"|\bnot (?:be )?(?:excluded|ruled out|without|absent)\b"
)
_CUE_BEFORE = re.compile(
    r"(?i)\b(?:no|not|without|neither|nor|never|absence of|free of|negative for|lacks?|lacking|denies|rules? out"
    r"|ruled out for|excludes?|devoid of|fails to (?:show|reveal))\b"
)
_UNSEEN = r"not (?:seen|present|identified|visible|evident|detected|found|noted)"
_CUE_BEHIND = re.compile(
    rf"(?i)\b(?:(?:is|are|was|were|has been|have been) (?:{_UNSEEN}|absent|ruled out|excluded|unlikely|resolved)"
    rf"|{_UNSEEN})\b"
)
_SHARE = re.compile(
    r"(?i)(\d+(?:\.\d+)?)\s?(?:%|percent|per cent)\s+(?:\w+\s+){0,3}?(?:image|scan|area|picture|slice|brain)\b"
)

FACTS = (*_VALUES, "share of the image")


def extract(fact: str, text: str) -> FactValues:
    """Return the values of a fact that a text asserts; empty if it asserts none."""
    if fact not in _VALUES:
        shares = (float(found) for found in _SHARE.findall(text))
        return frozenset(f"{_SHARE_STEP * round(share / _SHARE_STEP)} %" for share in shares)
    clauses = [(clause, *_cues(clause)) for clause in _CLAUSE_END.split(text) if clause]
    return frozenset(
        value
        for value, pattern in _VALUES[fact].items()
        for clause, first_cue, behind in clauses
        if any(found.start() < first_cue and found.start() > behind for found in pattern.finditer(clause))
    )


def is_healthy(text: str) -> bool:
    """Return True if a text says that a scan is normal, and asserts no finding."""
    return _HEALTHY.search(text) is not None and not extract("finding", text)


def _cues(clause: str) -> tuple[int, int]:
    """Return from where on a clause is negated, and up to where."""
    plain = _NO_CUE.sub(lambda cue: "_" * len(cue[0]), clause)
    behind = max((cue.start() for cue in _CUE_BEHIND.finditer(plain)), default=-1)
    before = next((cue.start() for cue in _CUE_BEFORE.finditer(plain) if behind < 0), len(clause))
    return before, behind


def fact_scores(predictions: Sequence[Prediction], bootstrap: Bootstrap) -> tuple[FactScores, ...]:
    """Score every fact that a reference states, by split, then specificity on scans whose reference is healthy."""
    found = []
    for split in EVALUATED_SPLITS:
        members = [each for each in predictions if each.split == split]
        for fact in FACTS:
            wanted = [extract(fact, each.reference) for each in members]
            if any(wanted):
                found.append(_f1_scores(split, fact, members, wanted, bootstrap))
        if healthy := [each for each in members if is_healthy(each.reference)]:
            found.append(_specificity(split, healthy, len(members), bootstrap))
    return tuple(found)


def _f1_scores(
    split: EvaluatedSplit,
    fact: str,
    members: Sequence[Prediction],
    wanted: Sequence[FactValues],
    bootstrap: Bootstrap,
) -> FactScores:
    groups = [each.group for each in members]

    def f1_of(answers: Sequence[str]) -> Estimate:
        said = [extract(fact, answer) for answer in answers]
        counts = [
            (len(one & other), len(one - other), len(other - one)) for one, other in zip(said, wanted, strict=True)
        ]
        return bootstrap_interval(sum_by_group(np.array(counts, dtype=np.float64), groups), _f1, bootstrap)

    return FactScores(
        split=split,
        fact=fact,
        measure="F1",
        stated=sum(map(bool, wanted)),
        examples=len(members),
        scores={system: f1_of(answers) for system, answers in _answers(members).items()},
    )


def _specificity(
    split: EvaluatedSplit, healthy: Sequence[Prediction], examples: int, bootstrap: Bootstrap
) -> FactScores:
    groups, ones = [each.group for each in healthy], [1.0] * len(healthy)
    return FactScores(
        split=split,
        fact=HEALTHY,
        measure="specificity",
        stated=len(healthy),
        examples=examples,
        scores={
            system: estimate([float(not extract("finding", answer)) for answer in answers], ones, groups, bootstrap)
            for system, answers in _answers(healthy).items()
        },
    )


def _f1(counts: Sums) -> NDArray[np.float64]:
    """Return F1 of right, added and missing values: float64[..., 3] -> float64[...]; 0 where there are none."""
    right = 2 * counts[..., 0]
    return np.asarray(right / np.maximum(right + counts[..., 1] + counts[..., 2], 1e-9))


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
