"""A served model is asked over the OpenAI protocol, and it is told whose answers it gives."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import test_model
from config import TEST
from figtune.core.errors import ArtifactMissingError, ExitCode, ResourceError, UsageError
from figtune.core.jsonl import read_json, read_records
from figtune.evaluation.evaluate import evaluate
from figtune.evaluation.evaluate_served import compare_with_models, evaluate_served
from figtune.evaluation.settings import TestSettings as Settings
from figtune.inference import served_model
from figtune.inference.generate import generate_answers
from figtune.metrics.bootstrap import Bootstrap
from figtune.metrics.records import EvaluationSummary, Prediction, ServedAgreement
from figtune.models.feature_cache import encode_image
from tests.conftest import ROOT
from tests.inference.trained_model import greedy, write_dataset, write_trained_model
from tests.models.tuned import pictures
from tests.openai_server import Fault, OpenAIServer, serving_model
from tests.rows import each_row

pytestmark = pytest.mark.slow

BOOTSTRAP = Bootstrap(samples=100, seed=0)
SETTINGS = Settings(
    max_new_tokens=6,
    temperature=0.0,
    top_p=1.0,
    seed=0,
    base_weights="trained",
    batch_size=3,
    bootstrap_samples=100,
    server="",
    server_model="",
    server_timeout=60.0,
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data set, and OUTPUT with its evaluation."""
    folder = tmp_path_factory.mktemp("served")
    write_dataset(folder / "dataset", test_papers=2)
    write_trained_model(folder / "output")
    trial = replace(TEST, max_new_tokens=6, batch_size=3, bootstrap_samples=BOOTSTRAP.samples)
    evaluate(folder / "dataset", folder / "output", folder / "features", trial, seed=BOOTSTRAP.seed, device="cpu")
    return folder


@pytest.fixture(scope="module")
def running(work: Path) -> Iterator[OpenAIServer]:
    with serving_model(work / "output") as started:
        yield started


@pytest.fixture
def server(running: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    """The server without faults, asked without waiting."""
    monkeypatch.setattr(served_model, "_RETRY_SECONDS", (0.0, 0.0))
    running.adapter_lost, running.names, running.faults = False, ("figures",), []
    running.asked.clear()
    running.keys.clear()
    return running


def served(work: Path, server: OpenAIServer, **changes: object) -> ServedAgreement:
    settings = replace(SETTINGS, server=server.address, **changes)  # type: ignore[arg-type]
    return evaluate_served(work / "dataset", work / "output", settings, 0)


def predictions(work: Path, folder: str = "evaluation-served") -> list[Prediction]:
    return read_records(work / "output" / folder / "predictions.jsonl", Prediction, "test")


def test_a_served_adapter_answers_word_for_word_as_the_tuned_model(work: Path, server: OpenAIServer) -> None:
    found = served(work, server)
    assert (found.serves, found.examples, found.same_as_tuned) == ("adapter", 6, 6)
    assert found.sentence.startswith("The server answers as the tuned model: of 6 answers")
    for each, before in zip(predictions(work), predictions(work, "evaluation"), strict=True):
        assert each.served is not None
        assert each.served.answer == each.tuned.answer
        assert (each.served.chrf, each.served.ended_with_eos) == (each.tuned.chrf, each.tuned.ended_with_eos)
        assert replace(each, served=None) == before
    summary = read_json(work / "output" / "evaluation-served" / "metrics.json", EvaluationSummary, "test")
    assert summary.served == found
    for part in summary.slices:
        assert part.served is not None
        assert (part.served.chrf, part.served.loss) == (part.tuned.chrf, None)
    report = (work / "output" / "evaluation-served" / "report.html").read_text(encoding="utf-8")
    assert "The server answers as the tuned model: of 6 answers" in report
    assert "answers of the server" in report
    assert {request["temperature"] for request in server.asked} == {0.0}


def test_a_server_that_lost_the_adapter_is_found_out(work: Path, server: OpenAIServer) -> None:
    server.adapter_lost = True
    found = served(work, server)
    assert (found.serves, found.same_as_base, found.same_as_tuned) == ("base model", 6, 0)
    assert "The adapter is not served" in found.sentence
    report = (work / "output" / "evaluation-served" / "report.html").read_text(encoding="utf-8")
    assert "The adapter is not served" in report


def test_too_few_or_mixed_answers_are_unclear(work: Path) -> None:
    known = predictions(work, "evaluation")
    as_tuned = [replace(each, served=each.tuned) for each in known]
    as_base = [replace(each, served=each.base) for each in known]
    assert compare_with_models(as_tuned[:2], "", "").serves == "unclear"
    mixed = compare_with_models([*as_tuned[:3], *as_base[3:]], "", "")
    assert (mixed.serves, mixed.nearer_to_tuned, mixed.nearer_to_base) == ("unclear", 3, 3)
    alike = [replace(each, base=each.tuned, served=each.tuned) for each in known]
    assert "hardly differ" in compare_with_models(alike, "", "").sentence


def test_one_of_several_models_has_to_be_named(work: Path, server: OpenAIServer) -> None:
    server.names = ("base", "figures")
    with pytest.raises(UsageError, match=r"serves 2 models; name one with --test\.server_model: base, figures"):
        served(work, server)
    assert served(work, server, server_model="base").serves == "base model"


def test_a_key_of_the_environment_is_sent(work: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGTUNE_SERVER_KEY", "secret")
    served(work, server)
    assert server.keys == {"Bearer secret"}
    written = [path.read_bytes() for path in (work / "output" / "evaluation-served").iterdir()]
    assert not [content for content in written if b"secret" in content]


def test_what_passes_is_tried_again(work: Path, server: OpenAIServer) -> None:
    server.faults = [Fault(status=500), Fault(status=429)]
    assert served(work, server, batch_size=1).serves == "adapter"
    assert len(server.asked) == 6 + 2


@each_row(
    ("fault", "told"),
    [
        (Fault(status=404, content=b'{"error": "no such model"}'), "answered 404: .*no such model"),
        (Fault(status=401), "wants another key; set the environment variable FIGTUNE_SERVER_KEY"),
        (Fault(content=b"<html>"), "something else than the OpenAI protocol"),
        (Fault(content=b'{"choices": []}'), "without a choice"),
        (Fault(status=307, headers={"Location": "http://elsewhere.example"}), "elsewhere: http://elsewhere.example"),
        (Fault(content=b"[]", only="/models"), "something else than the OpenAI protocol"),
    ],
)
def test_what_a_server_refuses_is_quoted(work: Path, server: OpenAIServer, fault: Fault, told: str) -> None:
    server.faults = [fault]
    with pytest.raises(ResourceError, match=told):
        served(work, server)


def test_a_server_that_stays_broken_or_silent_is_given_up(work: Path, server: OpenAIServer) -> None:
    server.faults = [Fault(status=500, content=b"out of memory")] * 3
    with pytest.raises(ResourceError, match="answers none of the first 1 request"):
        served(work, server, batch_size=1)
    silence = threading.Event()
    server.faults = [Fault(wait=silence)]
    try:
        with pytest.raises(ResourceError, match=r"did not answer in time; raise --test\.server_timeout"):
            served(work, server, server_timeout=0.5, batch_size=1)
    finally:
        silence.set()


def test_single_requests_that_are_refused_are_counted_as_empty_answers(
    work: Path, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    answer = server.answer

    def refusing(request: dict[str, Any]) -> dict[str, object]:
        answered = answer(request)
        server.faults = [Fault(status=400, content=b"too long")] if len(server.asked) == 3 else []
        return answered

    server.answer = refusing  # type: ignore[method-assign]
    try:
        found = served(work, server, batch_size=1)
    finally:
        server.answer = answer  # type: ignore[method-assign]
    assert (found.serves, found.unanswered, found.examples, found.same_as_tuned) == ("adapter", 1, 5, 5)
    assert "1 request had no answer" in found.sentence
    assert "answered 400: too long" in caplog.text
    (refused,) = [each for each in predictions(work) if each.served is None]
    summary = read_json(work / "output" / "evaluation-served" / "metrics.json", EvaluationSummary, "test")
    whole = next(part for part in summary.slices if part.by == "all" and part.split == refused.split)
    assert whole.served is not None
    assert whole.served.chrf.value < whole.tuned.chrf.value


def test_an_interrupted_evaluation_asks_the_rest_only(work: Path, server: OpenAIServer) -> None:
    server.faults = []
    kept = server.answer

    def broken(request: dict[str, Any]) -> dict[str, object]:
        answered = kept(request)
        if len(server.asked) == 4:
            server.faults = [Fault(status=404)]
        return answered

    server.answer = broken  # type: ignore[method-assign]
    try:
        with pytest.raises(ResourceError, match="answered 404"):
            served(work, server, batch_size=1)
    finally:
        server.answer = kept  # type: ignore[method-assign]
    server.faults = []
    before = len(server.asked)
    assert served(work, server, batch_size=1).same_as_tuned == 6
    assert len(server.asked) - before < 6


def test_without_an_evaluation_the_command_is_named(work: Path, server: OpenAIServer, tmp_path: Path) -> None:
    shutil.copytree(work / "output", tmp_path / "output", ignore=shutil.ignore_patterns("evaluation*"))
    with pytest.raises(ArtifactMissingError, match=r"python test_model\.py"):
        evaluate_served(work / "dataset", tmp_path / "output", replace(SETTINGS, server=server.address), 0)


@each_row("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host/?key=1", "http://h:99999"])
def test_what_is_no_address_is_refused(work: Path, url: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a server"):
        evaluate_served(work / "dataset", work / "output", replace(SETTINGS, server=url), 0)


def test_a_password_in_the_address_is_refused_without_repeating_it(work: Path) -> None:
    with pytest.raises(UsageError, match="must not hold a user name or a password") as refused:
        evaluate_served(work / "dataset", work / "output", replace(SETTINGS, server="http://me:secret@host"), 0)
    assert "secret" not in str(refused.value)


def test_the_clients_lines_in_the_documentation_answer_as_figtune_does(
    work: Path,
    server: OpenAIServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (code,) = (block.split("```")[0] for block in page.split("```python\n")[1:] if "urllib.request" in block)
    served_there = '"http://127.0.0.1:8000", "output/merged"'
    assert served_there in code
    monkeypatch.chdir(tmp_path)
    picture = pictures()[0]
    picture.save("figure.png")
    exec(code.replace(served_there, f'"{server.address}", "figures"'), {})
    loaded = server.loaded
    prompt = "Write the caption of this figure."
    (expected,) = generate_answers(loaded, [prompt], [encode_image(loaded, picture)], greedy(256))
    assert capsys.readouterr().out.strip() == expected.text


def test_as_a_command(work: Path, server: OpenAIServer, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ("--work_dir", str(work), "--output_dir", str(work / "output"))
    assert test_model.main([*folders, "--test.server", server.address, "--test.max_new_tokens", "6"]) == ExitCode.DONE
    said = capsys.readouterr().err
    assert "The server answers as the tuned model" in said
    assert "report.html" in said
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert test_model.main([*folders, "--test.server", nobody]) == ExitCode.RESOURCE
    refused = capsys.readouterr().err
    assert f"nothing answers at {nobody}/v1" in refused
    assert "Traceback" not in refused
