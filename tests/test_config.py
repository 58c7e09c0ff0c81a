"""One place for defaults: constants, presets, settings files and flags mean the same thing."""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
import types
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

import config
from figtune.core import settings
from figtune.core.errors import InputError, UsageError
from figtune.core.log import configure_logging
from tests.rows import each_row


def _parse(*arguments: str) -> config.Config:
    return config.parse(arguments, "main.py", "")


def test_without_flags_the_constants_hold() -> None:
    assert _parse() == config.Config()


def test_flags_take_underscores_and_hyphens() -> None:
    for flags in (
        ("--pdf_dir", "a", "--train.learning_rate", "1e-3"),
        ("--pdf-dir", "a", "--train.learning-rate=0.001"),
    ):
        parsed = _parse(*flags)
        assert parsed.pdf_dir == Path("a")
        assert parsed.train.learning_rate == 1e-3


def test_steps_and_switches() -> None:
    parsed = _parse("--steps", "prepare", "train", "--dry_run", "--prepare.include_tables")
    assert parsed.steps == ("prepare", "train")
    assert parsed.dry_run
    assert parsed.prepare.include_tables


@each_row(
    ("flags", "said"),
    [
        ("--data.image_column file", "--data.image_column is read only with --data.source: here it changes nothing"),
        ("--data.source scans --data.image_column file --prepare.max_words 90", ""),
        ("--data.source scans --prepare.tasks caption", "--prepare.tasks is read only of papers"),
        ("--adapter.mode projector --adapter.rank 8", "--adapter.rank is read only with --adapter.mode lora or qlora"),
        ("--adapter.rank 8 --test.temperature 0.7 --test.top_p 0.9", ""),
        ("--test.top_p 0.9", "--test.top_p is read only with --test.temperature above 0"),
        *((f"--preset {preset}", "") for preset in config.PRESETS),
    ],
)
def test_a_setting_that_nothing_reads_is_said_to_change_nothing(
    flags: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    capsys.readouterr()
    _parse(*flags.split())
    printed = capsys.readouterr().err
    assert (printed.startswith(said) and printed.count("\n") == 1) if said else not printed


@each_row("preset", ["", *config.PRESETS])
def test_a_switch_can_be_set_either_way_whatever_it_starts_from(preset: str) -> None:
    start = ("--preset", preset) if preset else ()
    assert _parse(*start, "--train.activation_checkpointing").train.activation_checkpointing
    assert not _parse(*start, "--train.no_activation_checkpointing").train.activation_checkpointing


@each_row("flags", [("--train.batch_size", "auto"), ("--train.batch-size", "auto"), ("--train.batch_size=auto",)])
@each_row("preset", sorted(config.PRESETS))
def test_an_automatic_batch_keeps_the_number_that_makes_up_a_step(preset: str, flags: tuple[str, ...]) -> None:
    with_preset, plain = ("--preset", preset, "--quiet"), _parse("--preset", preset, "--quiet")
    expected = dataclasses.replace(plain, train=dataclasses.replace(plain.train, auto_batch=True))
    assert _parse(*flags, *with_preset) == expected
    assert _parse(*with_preset, *flags) == expected


@each_row("preset", list(config.PRESETS))
def test_flags_win_over_presets(preset: str) -> None:
    assert _parse("--preset", preset) == dataclasses.replace(config.PRESETS[preset](), preset=preset)
    assert _parse("--train.seed", "7", "--preset", preset).train.seed == 7


def test_flags_win_over_a_settings_file_which_wins_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"train": {"seed": 5, "epochs": 2}}')
    parsed = _parse("--config", str(path), "--train.epochs", "9")
    assert (parsed.train.seed, parsed.train.epochs) == (5, 9)


def test_what_was_asked_of_one_run_is_no_setting_of_the_next(tmp_path: Path) -> None:
    assert set(config.ONE_RUN_ONLY) <= settings.flatten(config.Config()).keys()
    asked = ("--steps", "test", "--test_image", "a.png", "--prompt", "Why?", "--force", "--merge", "--test.server", "h")
    written = _parse("--train.seed", "5", "--test.seed", "3", *asked)
    path = tmp_path / "config.json"
    path.write_bytes(settings.encode(written))
    kept = _parse("--train.seed", "5", "--test.seed", "3")
    assert _parse("--config", str(path)) == dataclasses.replace(kept, config=path)


@each_row("mark", [b"", b"\xef\xbb\xbf"])
def test_a_written_configuration_reads_back_equal(tmp_path: Path, mark: bytes) -> None:
    written = _parse("--preset", "demo", "--test_image", "a.png", "--adapter.targets", "q_proj", "v_proj")
    path = tmp_path / "config.json"
    path.write_bytes(mark + settings.encode(written))
    assert settings.read_settings(path, config.Config()) == written


@each_row(
    ("flags", "complaint"),
    [
        (("--preset", "demmo"), 'no preset "demmo"'),
        (("--preset", "demo", "--config", "x.json"), "exclude each other"),
        (("--train.learning_rate", "-1"), "--train.learning_rate must be a number above 0"),
        (("--prepare.test_fraction", "0.9", "--prepare.val_fraction", "0.1"), "leave papers for training"),
        (("--workers", "-2"), "--workers must be 0 or more"),
        (("--train.epochs", "inf"), "--train.epochs must be a number above 0"),
        (("--prompt", "What is this?"), "--prompt must be given together with --test_image"),
        (("--steps", "train", "--test_image", "a.png"), "--test_image must be given with test among the --steps"),
        (("--figure", "3"), "--figure must be given together with --test_image"),
        (("--answers", "a.jsonl"), "--answers must be given together with --test_image"),
        (("--serve", "--test_image", "a.png"), "--serve must be given without --test_image"),
        (("--serve", "--steps", "train"), "--serve must be given with test among the --steps"),
        (("--serve_port", "70000"), "--serve_port must be from 0 to 65535"),
        (("--test.temperature", "-1"), "--test.temperature must be 0 or more"),
        (("--test.top_p", "0"), "--test.top_p must be above 0 and at most 1"),
        (("--steps",), "--steps must be one or more of extract prepare"),
        (("--train.seed", "-1"), "--train.seed must be from 0 to 4294967295"),
        (("--train.seed", str(2**32)), "--train.seed must be from 0 to 4294967295"),
        (("--test.seed", "-1"), "--test.seed must be from 0 to 4294967295"),
        (("--prepare.tasks", "caption", "read", "caption"), "--prepare.tasks must be tasks that differ"),
    ],
)
def test_values_that_make_no_sense_are_refused(flags: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        _parse(*flags)
    assert complaint in str(caught.value)


@each_row(
    ("flags", "complaint"),
    [
        (("--train.learning_rte", "1"), "--train.learning_rate"),
        (("--steps", "trian"), "trian"),
        (("--train.epochs", "many"), "many"),
        (("--pdf_dir",), "--pdf_dir"),
    ],
)
def test_typos_exit_with_2_and_show_what_was_meant(
    flags: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        _parse(*flags)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_settings_file_that_is_not_there() -> None:
    with pytest.raises(InputError, match="cannot read nowhere"):
        _parse("--config", "nowhere.json")


def _constants() -> Iterator[str]:
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    for node in tree.body:
        for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
            if isinstance(target, ast.Name) and target.id.isupper() and target.id not in ("PRESETS", "ONE_RUN_ONLY"):
                yield target.id


@each_row("constant", list(_constants()))
def test_each_constant_is_the_default_of_exactly_one_field(constant: str) -> None:
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    defaults = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) or (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))
    ]
    assert sum(isinstance(value, ast.Name) and value.id == constant for value in defaults) == 1


def _edited(patch: pytest.MonkeyPatch, constant: str, value: str) -> types.ModuleType:
    """Return config.py as it is imported with a constant edited."""
    text = Path(config.__file__).read_text(encoding="utf-8")
    edited, count = re.subn(rf"(?m)^({constant}: .*) = .*$", lambda line: f"{line[1]} = {value}", text)
    assert count == 1
    module = types.ModuleType("edited_config")
    module.__file__ = config.__file__
    patch.setitem(sys.modules, module.__name__, module)
    exec(compile(edited, config.__file__, "exec"), vars(module))
    return module


@each_row(
    ("constant", "value", "field", "expected"),
    [
        ("PDF_DIR", '"samples"', "pdf_dir", "PosixPath('samples')"),
        ("WORK_DIR", '"work/mine"', "work_dir", "PosixPath('work/mine')"),
        ("OUTPUT_DIR", 'Path("there")', "output_dir", "PosixPath('there')"),
        ("LORA_TARGET_MODULES", '"q_proj"', "adapter.targets", "('q_proj',)"),
        ("LORA_TARGET_MODULES", '"q_proj, v_proj"', "adapter.targets", "('q_proj', 'v_proj')"),
        ("LORA_TARGET_MODULES", '["q_proj", "v_proj"]', "adapter.targets", "('q_proj', 'v_proj')"),
        ("LEARNING_RATE", "1", "train.learning_rate", "1"),
        ("NUM_EPOCHS", "0.5", "train.epochs", "0.5"),
    ],
)
def test_a_constant_may_be_edited_as_one_would_write_it(
    monkeypatch: pytest.MonkeyPatch, constant: str, value: str, field: str, expected: str
) -> None:
    parsed = _edited(monkeypatch, constant, value).parse([], "", "")
    assert repr(attrgetter(field)(parsed)) == expected


@each_row(
    ("constant", "value", "complaint"),
    [
        ("PDF_DIR", "7", "error: config.py: PDF_DIR = 7: expected a path, got `7`; write another value"),
        ("LEARNING_RATE", '"2e-4"', "error: config.py: LEARNING_RATE = '2e-4': expected `float`, got `str`"),
        ("BATCH_SIZE", "2.5", "error: config.py: BATCH_SIZE = 2.5: expected `int`, got `float`; write another value"),
        ("LORA_R", "True", "error: config.py: LORA_R = True: expected `int`, got `bool`; write another value"),
        ("LORA_TARGET_MODULES", "3", "error: config.py: LORA_TARGET_MODULES = 3: expected `array`, got `int`"),
        ("LEARNING_RATE", "-1", "error: config.py: --train.learning_rate must be a number above 0"),
        ("LORA_R", "0", "error: config.py: --adapter.rank must be 1 or more; give another value"),
        ("MODEL_NAME", '""', "error: config.py: --model.name must be a Hub id or a folder; give another value"),
    ],
)
def test_a_constant_that_makes_no_sense_is_one_line(
    monkeypatch: pytest.MonkeyPatch, constant: str, value: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        _edited(monkeypatch, constant, value)
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert said.startswith(complaint)
    assert said.count("\n") == 1
