"""The page in the browser: an image or a paper dropped on it, a question, and both models' answers side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import get_args

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from figtune.answers.answering import Question
from figtune.answers.streaming import stream_answers
from figtune.core.errors import FigtuneError
from figtune.core.image_formats import IMAGE_SUFFIXES
from figtune.dataset.records import Task
from figtune.models.loading import LoadedModel
from figtune.talk.paper import listed
from figtune.talk.subjects import Subject, subjects_of
from figtune.talk.terms import Request, Terms

TITLE = "figtune"
TASKS: tuple[Task, ...] = get_args(Task)
STYLE = """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; }
#heading h1 { font-size: 1.6rem; font-weight: 600; margin: 0; } #heading p { margin: .1rem 0 0; opacity: .75; }
#status { min-height: 1.6em; }
"""
_SUFFIXES = [".pdf", *IMAGE_SUFFIXES]
_KEPT_SECONDS = 3600
"""How long an upload that nobody looks at any more is kept."""
_SWEEP_SECONDS = 300
_PICTURE = "Picture"
_WELCOME = "Drop an image or a paper to begin."
_PROMPT = "prompt"
"""Or the one for a figure just clicked could come after, and in place of, that for a task chosen since."""
_NOT_YET = "() => ({__type__: 'update', interactive: false})"
"""In the browser, at once: whoever asks before a choice has arrived would hear about the picture before it."""


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A model and how it is asked."""

    loaded: LoadedModel
    terms: Terms
    request: Request
    """At first."""


def talk_page(speaker: Speaker) -> gr.Blocks:
    """The page, ready to be served. One answer is made at a time; others wait in a queue."""
    page = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(_SWEEP_SECONDS, _KEPT_SECONDS))
    with page:
        _Page(speaker).build()
    page.queue(api_open=False, max_size=32, default_concurrency_limit=1)
    return page


class _Page:
    """Its parts and what happens between them."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def build(self) -> None:
        """Lay out the parts, then connect them."""
        record = self._speaker.loaded.record
        gr.HTML(
            f"<h1>{TITLE}</h1><p>{escape(_public(record.name))}, fine-tuned, beside the model it was made from</p>",
            elem_id="heading",
        )
        self.subjects = gr.State([], time_to_live=_KEPT_SECONDS)
        self.chosen = gr.State(0)
        with gr.Row():
            with gr.Column(scale=5):
                self._build_question()
            with gr.Column(scale=7):
                self._build_answers()
        self._connect()

    def _build_question(self) -> None:
        self.upload = gr.File(
            label="An image or a paper (PDF)", file_types=_SUFFIXES, height=170, elem_id="upload", buttons=[]
        )
        self.gallery = gr.Gallery(
            label="Click the figure to ask about",
            columns=3,
            height=320,
            object_fit="contain",
            format="png",
            allow_preview=False,
            interactive=False,
            buttons=[],
            visible=False,
            elem_id="figures",
        )
        self.task = gr.Radio(list(TASKS), value=self._speaker.request.task, label="Task", elem_id="task")
        self.prompt = gr.Textbox(
            label="Prompt", info="As the task asks it; change it as you like.", lines=4, max_lines=12, elem_id="prompt"
        )
        with gr.Row():
            self.ask = gr.Button("Ask", variant="primary", interactive=False, elem_id="ask")
            self.stop = gr.Button("Stop", interactive=False, elem_id="stop")

    def _build_answers(self) -> None:
        self.status = gr.HTML(_WELCOME, elem_id="status")
        self.picture = gr.Image(
            label=_PICTURE, height=300, format="png", interactive=False, buttons=[], elem_id="picture"
        )
        with gr.Row(equal_height=True):
            self.tuned, self.base = (
                gr.Textbox(label=label, lines=10, max_lines=24, interactive=False, buttons=["copy"], elem_id=elem_id)
                for label, elem_id in (("Fine-tuned", "tuned"), ("Base model", "base"))
            )

    def _connect(self) -> None:
        opened = [self.subjects, self.chosen, self.gallery, self.status]
        shown = [self.picture, self.ask, self.tuned, self.base]
        about = [self.subjects, self.chosen, self.task]
        for choice in (self.upload.upload, self.upload.clear, self.gallery.select):
            choice(None, None, self.ask, js=_NOT_YET, api_visibility="private")
        for changed in (
            _quietly(self.upload.upload, self._open, self.upload, opened),
            _quietly(self.upload.clear, self._close, None, opened),
            _quietly(self.gallery.select, self._choose, None, self.chosen),
        ):
            worded = _quietly(changed.then, self._prompt, about, self.prompt, turns=_PROMPT)
            _quietly(worded.then, self._show, [self.subjects, self.chosen], shown)
        _quietly(self.task.change, self._prompt, about, self.prompt, turns=_PROMPT)
        asked, said = [self.subjects, self.chosen, self.prompt], [self.tuned, self.base, self.status, self.stop]
        answering = _quietly(self.ask.click, self._answer, asked, said)
        _quietly(self.stop.click, _stopped, None, [self.status, self.stop], cancels=answering)

    def _open(self, upload: str) -> tuple[list[Subject], int, gr.Gallery, str]:
        try:
            subjects = subjects_of(Path(upload), self._speaker.terms.reading)
        except FigtuneError as error:
            return [], 0, gr.Gallery(value=None, visible=False), _told(error)
        is_paper = subjects[0].paper is not None
        figures = [(subject.picture(), subject.label) for subject in subjects] if is_paper else None
        return subjects, 0, gr.Gallery(value=figures, visible=is_paper, selected_index=0), _found(subjects)

    def _close(self) -> tuple[list[Subject], int, gr.Gallery, str]:
        return [], 0, gr.Gallery(value=None, visible=False), _WELCOME

    def _choose(self, event: gr.SelectData) -> int:
        return int(event.index)

    def _show(self, subjects: Sequence[Subject], chosen: int) -> tuple[gr.Image, gr.Button, str, str]:
        button = gr.Button(interactive=bool(subjects))
        if not subjects:
            return gr.Image(None, label=_PICTURE), button, "", ""
        return gr.Image(subjects[chosen].picture(), label=subjects[chosen].label), button, "", ""

    def _prompt(self, subjects: Sequence[Subject], chosen: int, task: Task) -> str:
        return subjects[chosen].prompt(replace(self._speaker.request, task=task)) if subjects else ""

    def _answer(
        self, subjects: Sequence[Subject], chosen: int, prompt: str
    ) -> Iterator[tuple[str, str, str, gr.Button]]:
        if not subjects:
            yield "", "", _WELCOME, gr.Button(interactive=False)
            return
        yield "", "", "Looking at the picture …", gr.Button(interactive=True)
        question = Question(picture=subjects[chosen].picture(), prompt=prompt)
        answers = stream_answers(self._speaker.loaded, question, self._speaker.terms.decoding)
        try:
            for pair in answers:
                status = "Done." if pair.finished else "Answering …"
                yield pair.tuned, pair.base, status, gr.Button(interactive=not pair.finished)
        except FigtuneError as error:
            yield "", "", _told(error), gr.Button(interactive=False)
        finally:
            answers.close()


def _quietly(
    event: Callable[..., Dependency],
    function: Callable[..., object],
    inputs: Component | Sequence[Component] | None,
    outputs: Component | Sequence[Component],
    cancels: Dependency | None = None,
    turns: str | None = None,
) -> Dependency:
    """Connect a function to an event, and offer it to nobody but the page; what takes `turns` of one name never runs
    before what was asked for earlier."""
    return event(function, inputs, outputs, cancels=cancels, concurrency_id=turns, api_visibility="private")


def _stopped() -> tuple[str, gr.Button]:
    return "Stopped.", gr.Button(interactive=False)


def _found(subjects: Sequence[Subject]) -> str:
    figures = [subject.figure for subject in subjects if subject.figure is not None]
    return escape(f"The paper has {listed(figures)}." if figures else f"{subjects[0].label} is open.")


def _public(name: str) -> str:
    """Of a model in a folder only the folder's own name; a Hub id whole."""
    return Path(name).name if Path(name).is_absolute() or Path(name).exists() else name


def _told(error: FigtuneError) -> str:
    """What is wrong; what to type next is for a terminal."""
    return f"<strong>{escape(error.problem)}</strong>"
