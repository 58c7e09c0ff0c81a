"""Tell architectures, whose components can be gone through, from other figures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from figtune.extraction.records import FigureKind

_NOUN = (
    r"(?:architectures?|pipelines?|frameworks?|workflows?|flow\s?charts?|networks?|modules?|schematics?|block\s+diagrams?|"
    r"encoders?|decoders?|branch(?:es)?|backbone|system|stages?|overview|detailed?\s+structures?|training\s+process|"
    r"(?:proposed|our)\s+(?:method|approach|model)|model\s+structure|blocks?|layers?|heads?|generators?|discriminators?)"
)
_HEADLINE = re.compile(
    r"(?i)(?:\b(?:architecture|pipeline|framework|workflow|flow\s?chart)\b|^(?:an?\s+|the\s+)?(?:\w+\s+){0,2}(?:overview|"
    r"schematic|block\s+diagram)\b)"
)
_SPOKEN = re.compile(rf"(?i)\b{_NOUN}\b")
_OTHERS = re.compile(
    r"(?i)\b(?:comparisons?|compared|results?|performance|ablations?|visuali[sz]ations?|visuali[sz]ing|accuracy|curves?|"
    r"examples?|samples?|heat\s?maps?|attention\s+maps?|activation\s+maps?|feature\s+maps?\s+of|matri(?:x|ces)|"
    r"histograms?|bar|charts?|plots?|t-?sne|umap|distributions?|scatter|statistics|confusion|trade-?off|qualitative|"
    r"quantitative|failure|dataset|motivation|similarity|scores?|error|loss\s+landscape|versus|vs\.?|effects?\s+of|"
    r"impact\s+of|number\s+of)\b"
)
_FEWEST_NAMES = 3


def is_architecture(
    kind: FigureKind, caption: Sequence[str], spoken: Sequence[str], components: Sequence[str], *, has_text: bool
) -> bool:
    """Return True for a drawing of parts that work together.

    A diagram is one where its headline or a direct sentence about it speaks of parts, nothing in the headline speaks of
    results or data, and it names components; another kind only where its headline says so. A drawing saved as pixels
    has no names to read, so its headline has to say what it is.

    Args:
        spoken: sentences that have the figure as their matter.
        has_text: whether the figure has a text layer.
    """
    headline = caption[0] if caption else ""
    if kind == "table" or _OTHERS.search(headline):
        return False
    says_so = _HEADLINE.search(headline) is not None
    if not has_text or kind != "diagram":
        return says_so
    return says_so or (len(components) >= _FEWEST_NAMES and _SPOKEN.search(" ".join((*caption, *spoken))) is not None)
