"""Write docs/rules.md from the meanings of the rules of preparation: `python -m docs.rules`."""

from __future__ import annotations

import sys
from pathlib import Path

from figtune.dataset.rule_meanings import EXAMPLE, SENTENCE, SETTINGS, WHOLE

PAGE = Path(__file__).parent / "rules.md"
INTRODUCTION = (
    "`prepare_data.py` counts every figure, example and sentence that it leaves out by the name of a rule: in\n"
    "`rejected.jsonl`, `stats.json`, the preview, the data set's README and on the screen. This page is made from\n"
    "`figtune/dataset/rule_meanings.py`."
)


def rules_page() -> str:
    """Return the page: a table of the rules of each kind."""
    parts = ["# Rules of preparation", INTRODUCTION]
    for title, start, rules in (
        ("Whole figures, tables and rows", "Left out are figures, tables or rows", WHOLE),
        ("Single examples", "Left out are examples", EXAMPLE),
        ("Sentences of targets", "Cleaned are sentences that", SENTENCE),
    ):
        rows = [f"| `{rule}` | {text} | {_flag(rule)} |" for rule, text in rules.items()]
        parts.append("\n".join((f"## {title}\n\n{start} ...\n", "| rule | ... | setting |", "|---|---|---|", *rows)))
    return "\n\n".join(parts) + "\n"


def _flag(rule: str) -> str:
    return f"`{SETTINGS[rule]}`" if rule in SETTINGS else ""


def main() -> int:
    """Write the page."""
    PAGE.write_text(rules_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
