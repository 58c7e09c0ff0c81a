"""The look that all pages share: self-contained HTML that opens from disk and asks the network for nothing.

Whatever a PDF, a data set or a model put into a text is escaped, always; the page's own policy forbids it the network
even if something slipped through.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from figtune.examples.rule_meanings import meaning
from figtune.pipeline import number_format

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals.update(number_format.FORMATS, meaning=meaning)


def render_page(title: str, body_template: str, context: Mapping[str, object]) -> str:
    """A whole HTML page.

    Args:
        title: shown in the tab and as the heading.
        body_template: file name in `templates/` that extends `page.html` and fills its block `body` (and, where needed,
            `subtitle`, `style` and `script`).
        context: what the template names; a name it uses and does not find here is an error.
    """
    return _ENVIRONMENT.get_template(body_template).render({**context, "title": title})
