"""GGUF files of the merged model for llama.cpp and Ollama, checked against it where llama.cpp's server is at hand."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from figtune.core.errors import InputError, ResourceError
from figtune.core.io import write_text
from figtune.core.number_format import count, fixed, percent
from figtune.export.llama_cpp import BY_CONVERTER, LlamaCpp, check_convertible, running_server
from figtune.export.merge_check import MergeCheckExample, completion_logits, count_most_likely, sample_examples
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.served_model import ServedAnswer, ServedModel, UnansweredError, connect
from figtune.inference.settings import Decoding
from figtune.models.families import family_of
from figtune.models.family import Family, Processor
from figtune.models.loading import load_base_model, resolve_device
from figtune.models.records import (
    CARD_FILE,
    CHAT_TEMPLATE_FILE,
    GGUF_MODELFILE,
    GGUF_PROJECTOR_FILE,
    GGUF_TEXT_FILE,
    PROCESSOR_FOLDER,
    ModelRecord,
    Quantization,
)

logger = logging.getLogger(__name__)

_TOKENIZER_MODEL = "tokenizer.model"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_TEMPLATE_FILES = (CHAT_TEMPLATE_FILE, "chat_template.json", _TOKENIZER_CONFIG, CARD_FILE)
"""Files of the merged model that the converter does not get as they are."""
_ANSWER_TOKENS = 32
_ANSWER_SECONDS = 1800.0
"""Seconds for one answer: a large model on a slow CPU."""
_GREEDY = Decoding(max_new_tokens=_ANSWER_TOKENS, temperature=0.0, top_p=1.0, seed=0)
_MIN_AGREEMENT = 0.95
_MIN_AGREEMENT_OF_FEW_BITS = 0.75
"""Agreement for quantizations below 8 bits, which change a model. q4_k_m: 0.89 for a tiny random model, 0.98 for Gemma
3 270M."""


@dataclass(frozen=True, kw_only=True)
class GgufCheck:
    """Agreement of answers by llama.cpp with the predictions of the merged model, token by token."""

    examples: int
    tokens: int
    difference: float
    """Mean absolute difference of the chosen tokens' log probabilities, in nats."""
    agreement: float
    """Share of chosen tokens that are the merged model's most likely ones, ties included."""
    least: float
    """Share that is asked for."""

    @property
    def passes(self) -> bool:
        """True if the quantization explains the difference."""
        return self.agreement >= self.least

    @property
    def sentence(self) -> str:
        """Result as part of a sentence."""
        return (
            f"over {count(self.tokens, 'tokens')} of {count(self.examples, 'answers')} by llama.cpp "
            f"{fixed(100 * self.agreement, 1)} % are the merged model's most likely ones (at least "
            f"{percent(self.least)}), and their log probabilities differ by {self.difference:.1e} nats"
        )


def export_gguf(
    dataset_dir: Path, output_dir: Path, merged: Path, folder: Path, programs: LlamaCpp, quantization: Quantization
) -> GgufCheck | None:
    """Write text model, vision encoder with projector, and an Ollama Modelfile into `folder`.

    Returns:
        Agreement with the merged model; None where no llama.cpp server is at hand.

    Raises:
        UsageError: llama.cpp cannot read this family.
        InputError: the base model has no `tokenizer.model`.
        ResourceError: a program of llama.cpp fails, or its answers are not the merged model's.
    """
    record = read_adapter_record(output_dir)
    family = family_of(record.family, record.name)
    processor = family.load_processor(output_dir / PROCESSOR_FOLDER)
    check_convertible(record)
    if not (merged / _TOKENIZER_MODEL).is_file():
        raise InputError(
            f"{record.name} has no {_TOKENIZER_MODEL}, which llama.cpp's converter reads",
            "download the base model whole, and train and merge again"
            if not record.tiny
            else "leave out --gguf: demo models have none",
        )
    _convert(merged, folder, record.title, family.gguf_template(processor), programs, quantization)
    write_text(folder / GGUF_MODELFILE, _modelfile(family, processor))
    found = None
    if programs.server is not None:
        examples = sample_examples(dataset_dir, family, processor, record)
        answers = _answers(programs.server, folder, examples, record)
        least = _MIN_AGREEMENT if quantization in BY_CONVERTER else _MIN_AGREEMENT_OF_FEW_BITS
        model = load_base_model(merged, family, torch.bfloat16, resolve_device("cpu"), "sdpa")
        found = compare_answers(model, examples, answers, least)
        del model
        gc.collect()
        if not found.passes:
            raise ResourceError(
                f"the GGUF files disagree with the merged model: {found.sentence}",
                "try more bits with --gguf_quantization, or a newer llama.cpp",
            )
    _write_card(folder, record, quantization, found)
    return found


def compare_answers(
    model: PreTrainedModel, examples: Sequence[MergeCheckExample], answers: Sequence[ServedAnswer | None], least: float
) -> GgufCheck:
    """Compare the tokens of served answers with what the model predicts after the same tokens.

    Args:
        answers: an answer to each example; None where there is none.
        least: share of agreeing tokens that is asked for.

    Raises:
        ResourceError: the server gave no answer, or does not tell its tokens.
    """
    agreeing, difference, tokens = 0, 0.0, 0
    answered = [(example, answer) for example, answer in zip(examples, answers, strict=True) if answer is not None]
    if not answered:
        raise ResourceError("llama.cpp's server gave no answer to compare", "see its words above")
    for example, answer in answered:
        ids = [token.id for token in answer.chosen if token.id is not None]
        if len(ids) != len(answer.chosen) or not ids:
            raise ResourceError("llama.cpp's server does not tell the tokens of its answer", "use a newer llama.cpp")
        (logits,) = completion_logits(model, [example.answered_by(ids)])
        logs = F.log_softmax(logits, dim=-1)
        tokens_chosen = torch.tensor(ids)
        chosen = logs.gather(-1, tokens_chosen.unsqueeze(-1)).squeeze(-1)
        served = torch.tensor([token.logprob for token in answer.chosen])
        agreeing += count_most_likely(logits, tokens_chosen)
        difference += float((chosen - served).abs().sum())
        tokens += len(ids)
    return GgufCheck(
        examples=len(answered), tokens=tokens, difference=difference / tokens, agreement=agreeing / tokens, least=least
    )


def _convert(
    merged: Path, folder: Path, name: str, template: str, programs: LlamaCpp, quantization: Quantization
) -> None:
    kind = quantization if quantization in BY_CONVERTER else "bf16"
    with TemporaryDirectory(dir=folder, prefix=".staged-") as temporary:
        staged = Path(temporary) / "model"
        _stage(merged, staged, template)
        logger.info("gguf: text model")
        text = folder / GGUF_TEXT_FILE if kind == quantization else Path(temporary) / GGUF_TEXT_FILE
        programs.convert(staged, text, kind, "--model-name", name)
        if kind != quantization:
            programs.quantize(text, folder / GGUF_TEXT_FILE, quantization)
        logger.info("gguf: vision encoder and projector")
        whole = kind if kind in ("f32", "f16") else "bf16"
        programs.convert(staged, folder / GGUF_PROJECTOR_FILE, whole, "--mmproj", "--model-name", name)


def _stage(merged: Path, staged: Path, template: str) -> None:
    """Link the merged model with the chat template that llama.cpp needs, and without its card."""
    staged.mkdir()
    for file in merged.iterdir():
        if file.is_file() and file.name not in _TEMPLATE_FILES:
            (staged / file.name).symlink_to(file.resolve())
    tokenizer = json.loads((merged / _TOKENIZER_CONFIG).read_text(encoding="utf-8"))
    tokenizer.pop("chat_template", None)
    write_text(staged / _TOKENIZER_CONFIG, json.dumps(tokenizer))
    write_text(staged / CHAT_TEMPLATE_FILE, template)


def _answers(
    server: Path, folder: Path, examples: Sequence[MergeCheckExample], record: ModelRecord
) -> list[ServedAnswer | None]:
    logger.info(f"gguf: {count(len(examples), 'answers')} by llama.cpp's server")
    image_tokens = max(example.example.image.tokens for example in examples)
    context = image_tokens + record.max_length + 2 * _ANSWER_TOKENS
    files = (folder / GGUF_TEXT_FILE, folder / GGUF_PROJECTOR_FILE)
    with running_server(server, *files, context) as address, connect(address, "", _ANSWER_SECONDS) as model:
        return [_answer(model, example) for example in examples]


def _answer(model: ServedModel, example: MergeCheckExample) -> ServedAnswer | None:
    """Return an answer; None where the server has one that it cannot give, such as half a character."""
    try:
        return model.ask(example.image, example.prompt, _GREEDY, tokens=True)
    except UnansweredError as refused:
        logger.warning(f"gguf: {refused.problem}")
        return None


def _modelfile(family: Family, processor: Processor) -> str:
    """Return a Modelfile for Ollama, which sets images before the prompt."""
    return (
        f"FROM ./{GGUF_TEXT_FILE}\nFROM ./{GGUF_PROJECTOR_FILE}\n"
        f'TEMPLATE """{family.ollama_template(processor)}"""\n'
        "PARAMETER temperature 0\n"
    )


def _write_card(folder: Path, record: ModelRecord, quantization: Quantization, found: GgufCheck | None) -> None:
    checked = (
        "Not checked: no llama.cpp server was at hand." if found is None else f"Checked on a CPU: {found.sentence}."
    )
    write_text(
        folder / CARD_FILE,
        f"""# {record.title}, fine-tuned, as GGUF

`{GGUF_TEXT_FILE}` is the text model ({quantization}), `{GGUF_PROJECTOR_FILE}` vision encoder and projector. {checked}

```bash
llama-server -m {GGUF_TEXT_FILE} --mmproj {GGUF_PROJECTOR_FILE} --jinja
ollama create figures -f {GGUF_MODELFILE}
```

The first answers at `http://127.0.0.1:8080/v1/chat/completions`, with a chat template that lays image and prompt out
as in training; the second at port 11434 once Ollama is running. Ask one image and one prompt, at temperature 0.
""",
    )
