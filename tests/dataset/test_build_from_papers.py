"""A content folder becomes a data set whose counts add up."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from figtune.core.artifacts import Stage
from figtune.core.errors import ArtifactMissingError, InputError, NothingProducedError
from figtune.core.jsonl import read_records, write_records
from figtune.core.stages import StageResult, run_if_stale
from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.content_folder import log_other_papers
from figtune.dataset.figure_context import build_context
from figtune.dataset.records import REJECTED_FILE, SPLITS, Example, Rejection, Split, Task
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.split_assignment import split_of
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureKind, FigureRecord, Panel, TableGrid
from tests.dataset.content_maker import CHOICES, PLAIN_FIGURE, figure, paper, picture, save, write_content
from tests.rows import each_row

TRAIN_ONLY = replace(CHOICES, val_fraction=0.0, test_fraction=0.0)


def examples_in(dataset: Path, name: str) -> list[Example]:
    return read_records(dataset / f"{name}.jsonl", Example, "a test")


def rejections_in(dataset: Path) -> list[Rejection]:
    return read_records(dataset / REJECTED_FILE, Rejection, "a test")


def paper_in(split: Split, settings: PrepareSettings, start: int = 0) -> str:
    """A paper's name that the draw sends to a split."""
    return next(name for n in range(start, 1000) if split_of(name := f"paper{n}", settings) == split)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """Twenty papers with one good figure each, and one figure for each way to fail."""
    good = [figure(f"paper{number:02}") for number in range(20)]
    bad = [
        figure("paper00", "2", replace(PLAIN_FIGURE, figure_type="Table", kind="table")),
        figure("paper00", "3", replace(PLAIN_FIGURE, crop=None, reason="no region found")),
        figure("paper00", "4", replace(PLAIN_FIGURE, caption="Figure 1.")),
        figure("paper00", "5", replace(PLAIN_FIGURE, confidence=0.2)),
        figure(
            "paper00", "6", replace(PLAIN_FIGURE, caption="Figure 1. Обзор предложенной сети и её частей, вход слева.")
        ),
        figure("paper00", "7"),
        figure("paper00", "8"),
        figure("paper00", "9"),
        figure("paper01", "2"),
        figure("paper01", "3", replace(PLAIN_FIGURE, caption="Figure 1. See Tab. 2.", mentions=(), kind="plot")),
        figure("paper01", "4"),
    ]
    folder = write_content(tmp_path / "content", [*good, *bad])
    save(picture("small", (20, 20)), folder / "crops/paper00/paper00-figure-7.png")
    save(picture("wide", (900, 100)), folder / "crops/paper00/paper00-figure-8.png")
    save(Image.new("L", (160, 120), 255), folder / "crops/paper00/paper00-figure-9.png")
    (folder / "crops/paper01/paper01-figure-2.png").write_bytes(b"no picture")
    (folder / "crops/paper01/paper01-figure-4.png").unlink()
    return folder


def test_counts_add_up(content: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    stats = prepare_examples(content, dataset, CHOICES)
    figures = read_records(content / FIGURES_FILE, FigureRecord, "a test")
    written = {split: examples_in(dataset, split) for split in SPLITS}
    rejected = rejections_in(dataset)
    assert stats.figures == len(figures) == stats.figures_used + stats.figures_rejected
    assert stats.examples == {split: Counter(example.task for example in written[split]) for split in SPLITS}
    assert stats.kinds == Counter(example.kind for split in SPLITS for example in written[split])
    assert Counter(each.rule for each in rejected if not each.task) == stats.figure_rejections
    assert Counter(each.rule for each in rejected if each.task) == stats.example_rejections
    assert sum(stats.figure_rejections.values()) == stats.figures_rejected
    used = {each.image for split in SPLITS for each in written[split]}
    assert len(used) == stats.figures_used


def test_each_rule_catches_its_figure(content: Path, tmp_path: Path) -> None:
    prepare_examples(content, tmp_path / "dataset", CHOICES)
    rules = {each.item_id: each.rule for each in rejections_in(tmp_path / "dataset") if not each.task}
    assert rules == {
        "paper00-table-2": "table_kept_apart",
        "paper00-figure-3": "no_region",
        "paper00-figure-4": "no_caption",
        "paper00-figure-5": "low_confidence",
        "paper00-figure-6": "not_english",
        "paper00-figure-7": "image_too_small",
        "paper00-figure-8": "extreme_aspect_ratio",
        "paper00-figure-9": "blank_image",
        "paper01-figure-2": "unreadable_crop",
        "paper01-figure-3": "no_example",
        "paper01-figure-4": "unreadable_crop",
    }


@pytest.mark.slow
def test_a_second_run_is_identical_to_the_byte(content: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        prepare_examples(content, tmp_path / name, CHOICES)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert [name for name in files if not name.endswith(".jsonl")] == ["stats.json"]
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_images_are_found_from_the_dataset_folder(content: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "deep" / "er"
    prepare_examples(content, dataset, CHOICES)
    for example in examples_in(dataset, "train"):
        with Image.open(dataset / example.image) as image:
            assert image.size == (160, 120)


@pytest.mark.slow
def test_papers_never_straddle_splits_and_more_papers_move_nobody(tmp_path: Path) -> None:
    few = write_content(tmp_path / "few", [figure(f"paper{number}") for number in range(15)])
    many = write_content(tmp_path / "many", [figure(f"paper{number}") for number in range(30)])
    split_before, split_after = (_splits(content, tmp_path) for content in (few, many))
    assert set(split_before.values()) == set(SPLITS)
    assert split_before.items() <= split_after.items()


def _splits(content: Path, tmp_path: Path) -> dict[str, Split]:
    dataset = tmp_path / f"{content.name}-dataset"
    prepare_examples(content, dataset, CHOICES)
    pairs = {(example.group, split) for split in SPLITS for example in examples_in(dataset, split)}
    assert len({group for group, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_a_copy_of_a_training_picture_leaves_the_test_split(tmp_path: Path) -> None:
    trained, tested = paper_in("train", CHOICES), paper_in("test", CHOICES)
    content = write_content(tmp_path / "content", [figure(trained), figure(tested), figure(tested, "2")])
    # Slightly smaller and lossy: other bytes, the same picture.
    copy = picture(f"{trained}-figure-1").resize((152, 114))
    save(copy, content / f"crops/{tested}/{tested}-figure-1.png")
    stats = prepare_examples(content, tmp_path / "dataset", CHOICES)
    assert stats.figure_rejections == {"near_duplicate_across_splits": 1}
    assert {example.image.split("/")[-1] for example in examples_in(tmp_path / "dataset", "test")} == {
        f"{tested}-figure-2.png"
    }


def test_the_same_picture_is_used_once_where_its_caption_is_surest(tmp_path: Path) -> None:
    content = write_content(
        tmp_path / "content",
        [figure(f"paper{n}", like=replace(PLAIN_FIGURE, confidence=0.6 + n / 5)) for n in range(2)],
    )
    save(picture("same"), content / "crops/paper0/paper0-figure-1.png")
    save(picture("same"), content / "crops/paper1/paper1-figure-1.png")
    prepare_examples(content, tmp_path / "dataset", TRAIN_ONLY)
    assert [each.item_id for each in rejections_in(tmp_path / "dataset") if each.rule == "duplicate_image"] == [
        "paper0-figure-1"
    ]


def test_the_section_of_a_prompt_is_that_of_what_is_explained(content: Path, tmp_path: Path) -> None:
    """The figure is cited in "3. Method" first; what is explained of it stands in "4. Results"."""
    prepare_examples(content, tmp_path / "dataset", CHOICES)
    explained = [each for each in examples_in(tmp_path / "dataset", "train") if each.task == "explain"]
    sections = {
        re.search(r"^Section: (.*)$", each.prompt, re.MULTILINE)[1]  # type: ignore[index]
        for each in explained
        if each.completion.startswith("In the figure, deeper stacks")
    }
    assert sections == {"4. Results"}


def test_minitrain_is_a_slice_of_train(content: Path, tmp_path: Path) -> None:
    stats = prepare_examples(content, tmp_path / "dataset", CHOICES)
    train, slice_of_it = (examples_in(tmp_path / "dataset", name) for name in ("train", "minitrain"))
    assert stats.minitrain == len(slice_of_it) == CHOICES.minitrain_examples
    assert [example for example in train if example in slice_of_it] == slice_of_it


def test_phrasings_vary_everywhere(tmp_path: Path) -> None:
    content = write_content(tmp_path / "content", [figure(f"paper{number}") for number in range(40)])
    settings = replace(TRAIN_ONLY, tasks=("caption",), minitrain_examples=15)
    prepare_examples(content, tmp_path / "dataset", settings)
    assert len({example.prompt for example in examples_in(tmp_path / "dataset", "train")}) == 5
    assert len({example.prompt for example in examples_in(tmp_path / "dataset", "minitrain")}) >= 4


def test_tables_come_when_asked_for(content: Path, tmp_path: Path) -> None:
    tasks: tuple[Task, ...] = ("caption", "explain", "read", "question")
    prepare_examples(content, tmp_path / "dataset", replace(TRAIN_ONLY, include_tables=True, tasks=tasks))
    table = [each for each in examples_in(tmp_path / "dataset", "train") if each.kind == "table"]
    assert {example.task for example in table} == {"caption", "explain"}
    assert all("table" in example.prompt for example in table)
    unsure = [each.task for each in rejections_in(tmp_path / "dataset") if each.rule == "unsure_table"]
    assert sorted(unsure) == ["question", "read"]


def test_tables_are_read_row_by_row_and_asked_about(tmp_path: Path) -> None:
    grid = TableGrid(
        header=(("", "Loss", "Error"),),
        columns=("", "Loss", "Error"),
        rows=(("Base", "2.5", "31"), ("Ours", "", "28 %")),
    )
    table = replace(PLAIN_FIGURE, figure_type="Table", kind="table", grid=grid, caption="Table 1. Results of the test.")
    names = [f"paper{number:02d}" for number in range(12)]
    content = write_content(tmp_path / "content", [figure(name, like=table) for name in names])
    settings = replace(TRAIN_ONLY, include_tables=True, tasks=("read", "question"))
    prepare_examples(content, tmp_path / "dataset", settings)
    train = examples_in(tmp_path / "dataset", "train")
    read = [example for example in train if example.task == "read"]
    assert {example.completion for example in read} == {"| Loss | Error\nBase | 2.5 | 31\nOurs |  | 28 %"}
    assert len(read) == 12
    assert len({example.prompt for example in read}) == 3
    cells = {
        (*re.findall('"([^"]+)"', example.prompt), example.completion)
        for example in train
        if example.example_id.endswith("-cell")
    }
    assert cells <= {("Base", "Loss", "2.5"), ("Base", "Error", "31"), ("Ours", "Error", "28 %")}
    assert len(cells) == 3
    assert not any("figure" in example.prompt for example in train)


def test_a_panel_gets_an_example_of_its_own(tmp_path: Path) -> None:
    panels = (
        Panel(label="a", box=None, caption="(a) The input image with a red box around the person."),
        Panel(label="b", box=None, caption="(b) The mask."),
    )
    content = write_content(tmp_path / "content", [figure("paper0", like=replace(PLAIN_FIGURE, panels=panels))])
    prepare_examples(content, tmp_path / "dataset", TRAIN_ONLY)
    by_id = {example.example_id: example for example in examples_in(tmp_path / "dataset", "train")}
    assert by_id["paper0-figure-1-describe-a"].completion == "The input image with a red box around the person."
    assert "panel (a) of this figure" in by_id["paper0-figure-1-describe-a"].prompt
    assert {each.item_id: each.rule for each in rejections_in(tmp_path / "dataset")} == {
        "paper0-figure-1-describe-b": "too_short"
    }


def test_what_is_told_of_one_panel_alone_is_asked_of_it(tmp_path: Path) -> None:
    panels = tuple(
        Panel(label=label, box=None, caption=f"({label}) {text} of the {label} network with grey boxes around all.")
        for label, text in (("a", "Layers"), ("b", "Paths"))
    )
    one = "As shown in Figure 1(b), the dashed arrows of the Decoder mark what is left out at night by the grey boxes."
    two = "The dashed arrows of the Decoder mark what Figure 1(a) leaves out and the grey boxes what Figure 1(b) does."
    figures = [
        figure(
            name, like=replace(PLAIN_FIGURE, panels=panels, mentions=(replace(PLAIN_FIGURE.mentions[0], text=text),))
        )
        for name, text in (("paper0", one), ("paper1", two))
    ]
    prepare_examples(write_content(tmp_path / "content", figures), tmp_path / "dataset", TRAIN_ONLY)
    told = {each.example_id: each for each in examples_in(tmp_path / "dataset", "train") if "dashed" in each.completion}
    assert {name: "panel (b) of this figure" in each.prompt for name, each in told.items()} == {
        "paper0-figure-1-describe-b-cited": True,
        "paper1-figure-1-describe": False,
    }


@each_row(
    ("kind", "headline", "expected"),
    [
        ("diagram", "Some drawing of an encoder.", True),
        ("diagram", "Comparison of attention.", False),
        ("plot", "Architecture of the network.", True),
        ("plot", "Results of the network.", False),
        ("qualitative", "Overview of our method.", True),
        ("qualitative", "Pictures of the network.", False),
        ("qualitative", "Pictures of cats.", False),
    ],
)
def test_architectures_are_analyzed(tmp_path: Path, kind: FigureKind, headline: str, expected: bool) -> None:
    caption = (
        f"Figure 1. {headline} The encoder takes all Images as input and passes them through the layers. "
        "The Memory holds those Tokens that the attention of the decoder has generated."
    )
    like = replace(PLAIN_FIGURE, kind=kind, caption=caption, figure_text="Frames\nTokens\nMemory", mentions=())
    content = write_content(tmp_path / "content", [figure("paper0", like=like)])
    prepare_examples(content, tmp_path / "dataset", TRAIN_ONLY)
    tasks = {example.task for example in examples_in(tmp_path / "dataset", "train")}
    assert ("analyze" in tasks) is expected


def test_completions_end_at_a_sentence_within_their_bound(tmp_path: Path) -> None:
    long = "Figure 1. " + " ".join(f"The part number {number} of the network does its work." for number in range(40))
    content = write_content(
        tmp_path / "content", [figure("paper0", like=replace(PLAIN_FIGURE, caption=long, mentions=()))]
    )
    settings = replace(TRAIN_ONLY, tasks=("caption",), max_words=35)
    stats = prepare_examples(content, tmp_path / "dataset", settings)
    (example,) = examples_in(tmp_path / "dataset", "train")
    assert len(example.completion.split()) == 30
    assert example.completion.endswith("does its work.")
    assert stats.shortened == {"caption": 1}


def test_an_empty_split_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(CHOICES, val_fraction=0.0, test_fraction=0.01)
    content = write_content(tmp_path / "content", [figure(paper_in("train", settings))])
    stats = prepare_examples(content, tmp_path / "dataset", settings)
    assert stats.empty_splits == ("test",)
    assert "test is empty" in capsys.readouterr().err


def test_nothing_to_train_on_names_the_setting(tmp_path: Path) -> None:
    content = write_content(tmp_path / "content", [figure(paper_in("test", CHOICES))])
    with pytest.raises(NothingProducedError, match=r"--prepare\.test_fraction"):
        prepare_examples(content, tmp_path / "dataset", CHOICES)


@each_row(
    ("like", "settings", "message"),
    [
        (replace(PLAIN_FIGURE, confidence=0.1), TRAIN_ONLY, r"low_confidence \(3 times\).*--prepare\.min_confidence"),
        (PLAIN_FIGURE, replace(TRAIN_ONLY, min_words=119), r"too_short.*--prepare\.min_words"),
        (replace(PLAIN_FIGURE, crop=None), TRAIN_ONLY, r"no_region.*--pdf_dir"),
    ],
)
def test_no_usable_figure_names_the_rule_and_the_setting(
    tmp_path: Path, like: FigureRecord, settings: PrepareSettings, message: str
) -> None:
    content = write_content(tmp_path / "content", [figure(f"paper{number}", like=like) for number in range(3)])
    with pytest.raises(NothingProducedError, match=message):
        prepare_examples(content, tmp_path / "dataset", settings)
    assert len(rejections_in(tmp_path / "dataset")) >= 3


def test_no_figures_at_all(tmp_path: Path) -> None:
    content = write_content(tmp_path / "content", [])
    with pytest.raises(NothingProducedError, match="no figures"):
        prepare_examples(content, tmp_path / "dataset", CHOICES)


def test_a_missing_content_folder_names_its_command(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"python extract_content\.py"):
        prepare_examples(tmp_path / "content", tmp_path / "dataset", CHOICES)


def test_a_seed_draws_anew_but_a_paper_stays_with_its_seed() -> None:
    names = [f"paper{number}" for number in range(2000)]
    fractions = replace(CHOICES, val_fraction=0.1, test_fraction=0.2, split_seed=1)
    drawn = Counter(split_of(name, fractions) for name in names)
    assert drawn["test"] == pytest.approx(400, abs=60)
    assert drawn["val"] == pytest.approx(200, abs=45)
    other = replace(fractions, split_seed=2)
    assert any(split_of(name, fractions) != split_of(name, other) for name in names)
    # Golden: a released split must not change under anybody's feet.
    assert " ".join(split_of(name, fractions) for name in names[:8]) == "train val train test test train train val"


def test_a_figure_without_its_paper_is_said(content: Path, tmp_path: Path) -> None:
    write_records(content / PAPERS_FILE, [])
    with pytest.raises(InputError, match=r"papers\.jsonl lacks the paper paper00"):
        prepare_examples(content, tmp_path / "dataset", CHOICES)


def test_a_bad_record_leaves_nothing_half_written(content: Path, tmp_path: Path) -> None:
    with (content / FIGURES_FILE).open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(InputError, match=re.escape(f"{FIGURES_FILE}:32")):
        prepare_examples(content, tmp_path / "dataset", CHOICES)
    assert list(tmp_path.glob("dataset/*")) == []


def test_words_with_an_index_are_written_with_it() -> None:
    figure = replace(
        PLAIN_FIGURE,
        caption="Figure 1. The loss Fcls, (Fcls) of preFcls grows. It meets RN×d here.",
        indices=(("Fcls", "F_cls"), ("RN×d", "\ufffd")),
        mentions=(),
    )
    found = build_context(figure, paper("paper"), 100)
    assert found.caption == ("The loss F_cls, (F_cls) of preFcls grows.",)
    assert found.removed["unreadable_glyphs"] == 1


def test_prompts_of_texts_tell_words_and_other_captions_where_asked_to(tmp_path: Path) -> None:
    figures = [figure("a", "1"), replace(figure("a", "2"), caption="Figure 2. Masks of cars at night.")]
    content = write_content(tmp_path / "content", figures)
    tasks: tuple[Task, ...] = ("caption", "explain", "read", "question")
    settings = replace(CHOICES, tasks=tasks, val_fraction=0.0, test_fraction=0.0)
    asked = replace(settings, figure_words=True, other_captions=True)
    prompts: list[dict[str, Example]] = []
    for name, chosen in (("plain", settings), ("told", asked)):
        prepare_examples(content, tmp_path / name, chosen)
        prompts.append({each.example_id: each for each in read_records(tmp_path / name / "train.jsonl", Example, "")})
    plain, told = prompts
    assert plain.keys() == told.keys()
    for example_id, example in told.items():
        assert (example.completion, example.quality) == (plain[example_id].completion, plain[example_id].quality)
        added = example.prompt.removesuffix(plain[example_id].prompt)
        if example.task in ("read", "question"):
            assert added == "", "what is asked for is not told"
        else:
            other = "Masks of cars at night." if "figure-1" in example_id else "Overview of the network."
            assert added == f"Words in the figure: Image Encoder Tokens Decoder Text\nOther captions: {other}\n"


@each_row(
    ("extracted", "there", "said"),
    [
        ("a.pdf b.pdf", "a.pdf b.pdf", ""),
        ("a.pdf", "a.pdf b.pdf more/c.PDF", "it lacks 2 of them; make it anew with: python extract_content.py"),
        ("a.pdf b.pdf", "a.pdf", "it has 1 others; make"),
        ("a.pdf", "b.pdf", "it lacks 1 of them, it has 1 others; make"),
        ("a.pdf", "", ""),
    ],
)
def test_papers_that_were_not_extracted_are_counted(
    extracted: str, there: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, papers = tmp_path / "content", tmp_path / "papers"
    files = dict.fromkeys(extracted.split(), "sha256")
    stage = Stage(name="extract", version=1, folder=content, command="e", settings={}, files=files, outputs=())
    run_if_stale(stage, lambda _: StageResult(counts={}), lock_folders=(tmp_path,), force=False)
    for name in there.split():
        (papers / name).parent.mkdir(parents=True, exist_ok=True)
        (papers / name).touch()
    capsys.readouterr()
    log_other_papers(content, papers)
    printed = capsys.readouterr().err
    assert said in printed if said else not printed
