"""Rendering of templates. HTML pages are self-contained files that open from disk and load nothing from the network.

Texts of PDFs, data sets and models are always escaped; as a second line, the page's content security policy forbids
network access.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from figtune.core import number_format
from figtune.dataset.rule_meanings import meaning


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not autoescape,
    )
    environment.globals.update(number_format.FORMATS, meaning=meaning)
    return environment


_HTML = _environment(autoescape=True)
_MARKDOWN = _environment(autoescape=False)


def render_page(title: str, body_template: str, context: Mapping[str, object]) -> str:
    """Render a complete HTML page.

    Args:
        title: shown in the tab and as the heading.
        body_template: file name in `templates/` that extends `page.html` and fills its block `body` (and, where needed,
            `subtitle`, `style` and `script`).
        context: variables of the template; an undefined one is an error.
    """
    return _HTML.get_template(body_template).render({**context, "title": title})


def render_markdown(template: str, context: Mapping[str, object]) -> str:
    """Render a Markdown file, without escaping: only for numbers and names of this project, no text of a paper."""
    return _MARKDOWN.get_template(template).render(context)
