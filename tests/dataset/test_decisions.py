"""Decisions of a person: their file, and what becomes of them when content, order and names change."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import extract_content
import prepare_data
from config import Config
from figtune.core.artifacts import provenance, write_manifest
from figtune.core.errors import ExitCode, InputError
from figtune.core.jsonl import read_json, read_records
from figtune.dataset.build_from_dataset import prepare_rows
from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.candidates import Candidate
from figtune.dataset.decisions import (
    AppliedDecisions,
    Decision,
    DecisionFile,
    DecisionKey,
    decided,
    decisions_fingerprint,
    read_decisions,
)
from figtune.dataset.records import REJECTED_FILE, SPLITS, STATS_FILE, Example, Rejection, Stats
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.shards import stream_examples
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureRecord, PaperRecord
from tests.conftest import ROOT
from tests.dataset.content_maker import CHOICES, PLAIN_FIGURE, candidates_of, figure, picture, save, write_content
from tests.dataset.scans import COLUMNS, TRAIN_ONLY, prepare, scan, write_parquet
from tests.rows import each_row

SETTINGS = replace(CHOICES, tasks=("caption", "explain", "analyze"), val_fraction=0.0, test_fraction=0.0)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return write_content(tmp_path / "content", [figure(name) for name in ("ada", "bell", "curie")])


def prepared(content: Path, folder: Path, decisions: Path, settings: PrepareSettings = SETTINGS) -> dict[str, Example]:
    """Prepare anew; return the examples by id."""
    prepare_examples(content, folder, settings, AppliedDecisions(read_decisions(decisions)))
    return {example.example_id: example for split in SPLITS for example in stream_examples(folder, split)}


def counts(folder: Path) -> dict[str, int]:
    return read_json(folder / STATS_FILE, Stats, "prepare").decisions


def candidate(folder: Path, item_id: str) -> Candidate:
    return next(each for each in candidates_of(folder) if each.item_id == item_id)


def rejections(folder: Path) -> dict[str, str]:
    return {each.item_id: each.rule for each in read_records(folder / REJECTED_FILE, Rejection, "prepare")}


def test_a_decision_wins_and_is_counted(content: Path, tmp_path: Path) -> None:
    folder, decisions = tmp_path / "dataset", tmp_path / "decisions.jsonl"
    before = prepared(content, folder, decisions)
    assert counts(folder) == {}
    file = DecisionFile(decisions)
    file.put(decided(candidate(folder, "ada-figure-1-caption").key, "reject", "ada"))
    file.put(decided(candidate(folder, "bell-figure-1-caption").key, "accept", "bell", text="A text of mine."))
    file.put(decided(candidate(folder, "curie-figure-1-caption").key, "accept", "curie"))
    file.put(decided(candidate(folder, "curie-figure-1-explain").key.of_figure, "reject", "curie"))
    after = prepared(content, folder, decisions)
    gone = {"ada-figure-1-caption", *(name for name in before if name.startswith("curie"))}
    assert after.keys() == before.keys() - gone
    assert after["bell-figure-1-caption"] == replace(
        before["bell-figure-1-caption"],
        completion="A text of mine.",
        quality=after["bell-figure-1-caption"].quality,
    )
    assert {name: each for name, each in after.items() if name != "bell-figure-1-caption"} == {
        name: each for name, each in before.items() if name not in {*gone, "bell-figure-1-caption"}
    }
    assert counts(folder) == {"edited": 1, "figures_rejected": 1, "rejected": 1, "unused": 1}
    assert rejections(folder)["ada-figure-1-caption"] == "rejected_in_review"
    assert rejections(folder)["curie-figure-1"] == "rejected_in_review"
    assert candidate(folder, "curie-figure-1").rule == "", "the rules have nothing against it"


def test_decisions_outlive_other_names_and_another_order(content: Path, tmp_path: Path) -> None:
    folder, decisions = tmp_path / "dataset", tmp_path / "decisions.jsonl"
    prepared(content, folder, decisions)
    file = DecisionFile(decisions)
    file.put(decided(candidate(folder, "curie-figure-1-caption").key, "reject", "curie"))
    file.put(decided(candidate(folder, "ada-figure-1-explain").key, "accept", "ada", text="Mine."))
    papers = read_records(content / PAPERS_FILE, PaperRecord, "extract")
    figures = read_records(content / FIGURES_FILE, FigureRecord, "extract")
    renamed = tmp_path / "renamed"
    lines: dict[str, list[object]] = {PAPERS_FILE: [], FIGURES_FILE: []}
    for paper, one in reversed(list(zip(papers, figures, strict=True))):
        new = f"z-{paper.paper_id}"
        crop = f"crops/{new}.png"
        lines[PAPERS_FILE].append(replace(paper, paper_id=new, file=f"elsewhere/{new}.pdf"))
        lines[FIGURES_FILE].append(replace(one, paper_id=new, figure_id=f"{new}-figure-1", crop=crop))
        save(picture(one.figure_id), renamed / crop)
    for name, records in lines.items():
        (renamed / name).write_text("".join(f"{msgspec.json.encode(record).decode()}\n" for record in records))
    after = prepared(renamed, tmp_path / "again", decisions)
    assert "z-curie-figure-1-caption" not in after
    assert "z-bell-figure-1-caption" in after
    assert after["z-ada-figure-1-explain"].completion == "Mine."
    assert counts(tmp_path / "again") == {"edited": 1, "rejected": 1}


def test_another_target_is_undecided_again(content: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, decisions = tmp_path / "dataset", tmp_path / "decisions.jsonl"
    prepared(content, folder, decisions)
    DecisionFile(decisions).put(decided(candidate(folder, "ada-figure-1-caption").key, "reject", "ada"))
    changed = replace(figure("ada"), caption="Figure 1. An overview of quite another network with three heads.")
    write_content(content, [changed, figure("bell"), figure("curie")])
    capsys.readouterr()
    assert "ada-figure-1-caption" in prepared(content, folder, decisions)
    assert counts(folder) == {"unused": 1}
    assert "decisions that nothing is made for now: 1; " in capsys.readouterr().err
    write_content(content, [figure(name) for name in ("ada", "bell", "curie")])
    assert "ada-figure-1-caption" not in prepared(content, folder, decisions)
    assert counts(folder) == {"rejected": 1}
    assert "decisions" not in capsys.readouterr().err


def test_what_the_rules_reject_can_be_accepted(content: Path, tmp_path: Path) -> None:
    folder, decisions = tmp_path / "dataset", tmp_path / "decisions.jsonl"
    strict = replace(SETTINGS, min_quality=0.99)
    kept = prepared(content, folder, decisions, strict)
    found = candidate(folder, "ada-figure-1-caption")
    assert found.rule == "low_quality"
    assert found.acceptable
    assert found.item_id not in kept
    DecisionFile(decisions).put(decided(found.key, "accept", "ada"))
    after = prepared(content, folder, decisions, strict)
    assert after[found.item_id].completion == found.key.target
    assert after[found.item_id].quality == found.score < 0.99
    assert candidate(folder, found.item_id) == found, "what the rules say stays to be seen"
    assert counts(folder) == {"accepted": 1}


def test_a_text_can_be_written_where_the_rules_find_none(content: Path, tmp_path: Path) -> None:
    folder, decisions = tmp_path / "dataset", tmp_path / "decisions.jsonl"
    silent = replace(figure("ada"), mentions=())
    write_content(content, [silent, figure("bell")])
    prepared(content, folder, decisions)
    found = candidate(folder, "ada-figure-1-explain")
    assert (found.rule, found.key.target, found.acceptable) == ("no_citing_text", "", True)
    file = DecisionFile(decisions)
    file.put(decided(found.key, "accept", "ada"))
    assert found.item_id not in prepared(content, folder, decisions), "there is nothing to accept"
    file.put(decided(found.key, "accept", "ada", text="It shows how the parts work together."))
    assert prepared(content, folder, decisions)[found.item_id].completion == "It shows how the parts work together."


def test_a_figure_can_be_accepted_against_judgements_alone(tmp_path: Path) -> None:
    unsure = replace(figure("ada"), confidence=0.1)
    small = figure("bell")
    nameless = replace(figure("curie"), caption="Figure 1.")
    content = write_content(tmp_path / "content", [unsure, small, nameless, figure("darwin")])
    save(picture("small", (160, 20)), content / str(small.crop))
    folder, decisions = tmp_path / "dataset", tmp_path / "decisions.jsonl"
    kept = prepared(content, folder, decisions)
    assert {example.group for example in kept.values()} == {"darwin"}
    file = DecisionFile(decisions)
    ruled = {name: candidate(folder, f"{name}-figure-1") for name in ("ada", "bell", "curie")}
    assert [each.rule for each in ruled.values()] == ["low_confidence", "image_too_small", "no_caption"]
    assert [each.acceptable for each in ruled.values()] == [True, True, False]
    for each in ruled.values():
        file.put(decided(each.key, "accept", each.source))
    after = prepared(content, folder, decisions)
    assert {example.group for example in after.values()} == {"ada", "bell", "darwin"}
    assert counts(folder) == {"figures_accepted": 3}
    assert [candidate(folder, each.item_id) for each in ruled.values()] == list(ruled.values())


def test_a_rejected_figure_keeps_no_copy_of_its_picture_out(tmp_path: Path) -> None:
    content = write_content(tmp_path / "content", [figure("ada"), figure("ada", "2"), figure("bell")])
    save(picture("same"), content / str(figure("ada").crop))
    save(picture("same"), content / str(figure("ada", "2").crop))
    folder, decisions = tmp_path / "dataset", tmp_path / "decisions.jsonl"
    prepared(content, folder, decisions)
    twin = candidate(folder, "ada-figure-2")
    assert (twin.rule, twin.acceptable) == ("duplicate_image", False)
    DecisionFile(decisions).put(decided(replace(twin.key, figure="figure-1"), "reject", ""))
    assert "ada-figure-2-caption" in prepared(content, folder, decisions)


@each_row("order", [0, 1])
def test_the_file_is_sorted_and_a_change_is_one_line(tmp_path: Path, order: int) -> None:
    file = DecisionFile(tmp_path / "kept" / "decisions.jsonl")
    key = DecisionKey(paper="ab", figure="figure-1", task="caption", target="Über α.")
    others = [decided(replace(key, figure=f"figure-{number}"), "accept", "a.pdf") for number in range(2, 6)]
    for each in others if order else reversed(others):
        file.put(each)
    lines = file.path.read_text().splitlines()
    assert lines[0] == (
        '{"paper":"ab","figure":"figure-2","task":"caption","target":"Über α.","verdict":"accept","source":"a.pdf"}'
    )
    assert [json.loads(line)["figure"] for line in lines] == [f"figure-{number}" for number in range(2, 6)]
    file.put(replace(others[1], verdict="reject"))
    changed = [new for new, old in zip(file.path.read_text().splitlines(), lines, strict=True) if new != old]
    assert [json.loads(line)["verdict"] for line in changed] == ["reject"]
    file.remove(others[1].key)
    assert file.path.read_text().splitlines() == [line for line in lines if "figure-3" not in line]
    assert set(read_decisions(file.path)) == {each.key for each in others if each is not others[1]}


@each_row(
    ("line", "problem"),
    [
        ("not json", "decisions.jsonl:2: JSON is malformed"),
        ('{"paper":"ab","verdict":"perhaps"}', "decisions.jsonl:2: Invalid enum value"),
        ('{"paper":"ab","task":"caption"}', "a decision on an example has a verdict and no box"),
        ('{"paper":"ab","figure":"figure-1"}', "a decision on a figure has a verdict or a box, and no text"),
        ('{"paper":"ab","figure":"figure-1","box":[5,0,1,9]}', "a box is left, top, right, bottom"),
        ('{"paper":"ab","task":"caption","verdict":"reject","text":"no"}', "goes with the verdict accept"),
        ('{"paper":"ab","task":"caption","verdikt":"reject"}', 'unknown name "verdikt"'),
        ('{"figure":"figure-1","verdict":"reject"}', "missing required field `paper`"),
        ('{"paper":"cd","figure":"figure-1","verdict":"accept"}', "lines 1 and 2 decide differently on the same"),
    ],
)
def test_a_line_that_is_no_decision_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(f'{{"paper":"cd","figure":"figure-1","verdict":"reject"}}\n{line}\n')
    with pytest.raises(InputError, match=problem.replace("[", r"\[").replace(".jsonl", r"\.jsonl")):
        read_decisions(path)


def test_a_file_saved_by_an_editor_of_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"paper":"cd","figure":"figure-1","verdict":"reject"}\r\n')
    assert [(key.paper, decision.verdict) for key, decision in read_decisions(path).items()] == [("cd", "reject")]


def test_a_link_to_a_shared_file_stays_one(tmp_path: Path) -> None:
    shared, link = tmp_path / "repository" / "decisions.jsonl", tmp_path / "decisions.jsonl"
    link.symlink_to(shared)
    DecisionFile(link).put(Decision(paper="p", figure="figure-1", verdict="reject"))
    assert link.is_symlink()
    assert read_decisions(shared) == read_decisions(link) != {}


def test_the_fingerprint_is_of_decisions_alone(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    assert decisions_fingerprint(path) == {}
    path.write_text("\n")
    assert decisions_fingerprint(path) == {}
    first, second = '{"paper":"ab","verdict":"reject"}', '{"paper":"cd","verdict":"reject","source":"x.pdf"}'
    path.write_text(f"{first}\n{second}\n")
    before = decisions_fingerprint(path)
    path.write_text(f"{second.replace('x.pdf', 'renamed.pdf')}\n\n{first}\n{first}\n")
    assert decisions_fingerprint(path) == before
    path.write_text(f"{first}\n")
    assert decisions_fingerprint(path) not in ({}, before)


def _put_many(path: Path, name: str) -> None:
    file = DecisionFile(path)
    for number in range(20):
        file.put(Decision(paper=name, figure=f"figure-{number}", verdict="reject"))


@pytest.mark.slow
def test_several_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_put_many, args=(path, name)) for name in ("ab", "cd")]
    for writer in writers:
        writer.start()
    _put_many(path, "ef")
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(read_decisions(path)) == 60


def test_a_figure_without_a_region_has_a_candidate_too(tmp_path: Path) -> None:
    lost = replace(PLAIN_FIGURE, paper_id="ada", figure_id="ada-figure-1", crop=None, region_box=None, crop_size=None)
    content = write_content(tmp_path / "content", [lost, figure("bell")])
    prepared(content, tmp_path / "dataset", tmp_path / "none.jsonl")
    found = candidate(tmp_path / "dataset", "ada-figure-1")
    assert (found.rule, found.image, found.acceptable) == ("no_region", "", False)


def test_rows_are_decided_on_by_image_and_text(tmp_path: Path) -> None:
    rows = [scan(number) for number in range(6)]
    copied = replace(rows[0], id="copy", caption="Another text about the very same picture.")
    source = write_parquet(tmp_path / "source", {"train": rows, "test": [copied]})
    folder = tmp_path / "dataset"
    before = prepare(source, folder, TRAIN_ONLY)
    assert before.rules == {"test-000001": "copy_across_splits"}
    first, second = before.examples["train"][:2]
    keys = {each.item_id: each.key for each in candidates_of(folder)}
    file = DecisionFile(tmp_path / "decisions.jsonl")
    file.put(decided(keys[first.example_id], "reject", first.source))
    file.put(decided(keys[second.example_id], "accept", second.source, text="A better text."))
    turned = write_parquet(tmp_path / "turned", {"train": rows[::-1], "test": [copied]})
    decisions = AppliedDecisions(file.read())
    stats = prepare_rows(replace(COLUMNS, source=str(turned)), folder, TRAIN_ONLY, decisions)
    assert stats.decisions == {"edited": 1, "rejected": 1}
    after = {example.source.split(", ")[-1]: example for example in stream_examples(folder, "train")}
    assert after.keys() == {each.id for each in rows[1:]}
    assert after[rows[1].id].completion == "A better text."
    assert after[rows[2].id].completion == rows[2].caption
    assert [example.completion for example in stream_examples(folder, "test")] == [copied.caption], (
        "a rejected row keeps no copy of its picture out"
    )
    assert (folder / first.image).is_file(), "rejected rows can still be looked at"


@pytest.mark.slow
def test_a_rerun_notices_decisions(content: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    work, decisions = tmp_path / "work", tmp_path / "mine.jsonl"
    papers = tmp_path / "papers"
    papers.mkdir()
    flags = ["--pdf_dir", str(papers), "--work_dir", str(work), "--decisions", str(decisions)]
    flags += ["--prepare.min_side_pixels", "32", "--prepare.val_fraction", "0", "--prepare.test_fraction", "0"]
    shutil.copytree(content, work / "content")
    stage = extract_content.describe(Config(pdf_dir=ROOT / "samples", work_dir=work))
    write_manifest(stage, provenance(stage, {}), {})
    assert prepare_data.main(flags) == ExitCode.DONE
    capfd.readouterr()
    for line, reason in (
        ("", "up to date"),
        ('{"paper":"ab","figure":"figure-1","verdict":"reject"}\n', "inputs changed: 1 added"),
        ("oops\n", ""),
    ):
        decisions.write_text(line)
        code = prepare_data.main([*flags, "--dry_run"])
        said = capfd.readouterr()
        if reason:
            assert (code, said.out) == (ExitCode.DONE, f"prepare: {reason}\n")
        else:
            assert code == ExitCode.BAD_INPUT
            problem = "JSON is malformed: invalid character (byte 0)"
            assert said.err == f"error: {decisions}:1: {problem}; correct or remove the line\n"
