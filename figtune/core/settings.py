"""Settings of every run, and settings as JSON: frozen dataclasses to plain values and back, strictly.

A settings file that has a name too many or a value of the wrong type is refused with its dotted name; nothing is
dropped in silence, None included.
"""

from __future__ import annotations

import codecs
import dataclasses
import difflib
import importlib.util
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar, get_origin, get_type_hints

import msgspec

from figtune.core.errors import InputError, ResourceError, UsageError

Settings = TypeVar("Settings")
Scalar = str | int | float | bool | None
Value = Scalar | tuple[Scalar, ...]
Device = Literal["auto", "cpu", "cuda"]


def check_setting(condition: bool, name: str, wanted: str) -> None:
    """Refuse a value of a setting.

    Raises:
        UsageError: `condition` does not hold.
    """
    if not condition:
        raise UsageError(f"--{name} must be {wanted}", "give another value")


def check_pair(condition: bool, name: str, wanted: str) -> None:
    """Refuse a setting that does not go with the others.

    Raises:
        UsageError: `condition` does not hold.
    """
    if not condition:
        raise UsageError(f"--{name} must be given {wanted}", f"do so, or leave out --{name}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Folders of a run, and the way it runs rather than what it makes."""

    pdf_dir: Path
    """Folder with the papers, searched with its subfolders."""
    output_dir: Path
    """Folder of the trained adapter, its curves and its evaluation."""
    work_dir: Path
    """Folder of content, data set and configured model."""
    device: Device
    """Device that the model runs on; "auto" takes a CUDA card where there is one."""
    dry_run: bool
    """Print what would be done and why, and write nothing."""
    force: bool
    """Do the steps again even where nothing has changed."""
    strict: bool
    """Exit with 7 where some input failed, rather than carry on with the rest."""
    quiet: bool
    """Log warnings and errors only, and show no progress bars."""
    verbose: bool
    """Log debug lines and the messages of libraries too."""

    def __post_init__(self) -> None:
        check_pair(not self.quiet or not self.verbose, "quiet", "without --verbose")
        made = {folder.resolve() for folder in (self.content_dir, self.dataset_dir, self.model_dir)}
        check_pair(
            self.output_dir.resolve() not in made, "output_dir", "as another folder than those that other stages make"
        )

    @property
    def content_dir(self) -> Path:
        """Return the folder that `extract` makes."""
        return self.work_dir / "content"

    @property
    def dataset_dir(self) -> Path:
        """Return the folder that `prepare` makes."""
        return self.work_dir / "dataset"

    @property
    def model_dir(self) -> Path:
        """Return the folder that `setup` makes."""
        return self.work_dir / "model"

    @property
    def folders(self) -> dict[str, Path]:
        """Return the folders of the stages that other stages read, by their names."""
        return {
            "extract": self.content_dir,
            "prepare": self.dataset_dir,
            "setup": self.model_dir,
            "train": self.output_dir,
        }

    @property
    def tokenizer_file(self) -> Path:
        """Return the path of the tokenizer of the model that `setup` configures."""
        return self.model_dir / "processor" / "tokenizer.json"

    @property
    def evaluation_dir(self) -> Path:
        """Return the folder that `test` makes."""
        return self.output_dir / "evaluation"


def constants(module: str) -> dict[str, object]:
    """Convert constants that people edit to the types that are written beside them: a path may be written as text, a
    list of names as one text with blanks or commas, an int where a float is meant.

    Args:
        module: name of the module, of which the variables annotated so far are the constants.

    Raises:
        UsageError: a value of another type.
    """
    found: dict[str, object] = {}
    for name, kind in get_type_hints(sys.modules[module]).items():
        value = getattr(sys.modules[module], name)
        if isinstance(value, str) and get_origin(kind) is tuple:
            value = tuple(value.replace(",", " ").split())
        plain = str(value) if isinstance(value, Path) else value
        try:
            converted: object = msgspec.convert(plain, kind, dec_hook=_path)
            # An int where a float is meant stays as it was written: 3 epochs are not shown as 3.0.
            found[name] = value if type(value) is int and kind is float else converted
        except msgspec.ValidationError as misfit:
            problem = str(misfit)
            raise UsageError(f"{name} = {value!r}: {problem[:1].lower()}{problem[1:]}", "write another value") from None
    return found


@contextmanager
def one_line_errors(where: str) -> Iterator[None]:
    """End the program with one line and the exit code for usage where a default cannot be used: it is made while
    `where` is imported, before any command line could catch the error.
    """
    try:
        yield
    except UsageError as error:
        sys.stderr.write(f"error: {where}: {error}\n")
        raise SystemExit(error.exit_code) from None


def flatten(settings: object, prefix: str = "") -> dict[str, Value]:
    """Return every leaf of a dataclass by its dotted name: `{"train.learning_rate": 0.0001, ...}`."""
    flat: dict[str, Value] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = _plain(value)
    return flat


def _plain(value: Value | Path) -> Value:
    """Return a value as it is compared: `3` and `3.0` are the same setting, whether an edited constant or a flag gave
    it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def encode(settings: object) -> bytes:
    """Write settings as indented JSON; `decode` reads them back equal."""
    plain = msgspec.to_builtins(settings, enc_hook=str)
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def decode(defaults: Settings, data: bytes, where: str) -> Settings:
    """Read settings of the kind of `defaults`, which gives the values of names that are left out.

    Raises:
        UsageError: not JSON, an unknown name, a wrong type, or an invalid value.
    """
    kind = type(defaults)
    try:
        plain = msgspec.json.decode(data)
        for name, known in _unknown_names(kind, plain):
            raise UsageError(f'{where}: unknown setting "{name}"', _suggestion(name, known))
        merged = _merge(msgspec.to_builtins(defaults, enc_hook=str), plain)
        return msgspec.convert(merged, kind, dec_hook=_path)
    except (msgspec.DecodeError, UnicodeDecodeError) as misfit:
        raise UsageError(f"{where}: {misfit}", "correct the file") from None


def read_settings(path: Path, defaults: Settings) -> Settings:
    """Read a settings file as `encode` writes it.

    Raises:
        InputError: the file cannot be read.
        UsageError: it holds something that is no setting.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)  # which editors of Windows begin a file with
    except OSError as failure:
        raise InputError(f"cannot read {path}: {failure.strerror}", "give a settings file with --config") from None
    return decode(defaults, data, str(path))


def reset(settings: Settings, defaults: Settings, names: Collection[str]) -> Settings:
    """Return the settings in which the values of the dotted `names` are those of `defaults`."""
    kept = _without(msgspec.to_builtins(settings, enc_hook=str), names)
    merged = _merge(msgspec.to_builtins(defaults, enc_hook=str), kept)
    return msgspec.convert(merged, type(defaults), dec_hook=_path)


def with_values(settings: Settings, values: Mapping[str, Value]) -> Settings:
    """Return the settings in which those of the dotted names have other values, of the types that JSON has.

    Raises:
        msgspec.ValidationError, UsageError: a value of another type, or one that cannot be.
    """
    plain: dict[str, object] = msgspec.to_builtins(settings, enc_hook=str)
    for name, value in values.items():
        plain = _with_value(plain, name.split("."), value)
    return msgspec.convert(plain, type(settings), dec_hook=_path)


def _with_value(plain: object, keys: Sequence[str], value: Value) -> dict[str, object]:
    """Return nested settings with one of them changed."""
    if not isinstance(plain, dict):
        raise TypeError(f"no settings below {keys[0]}")
    return {**plain, keys[0]: _with_value(plain[keys[0]], keys[1:], value) if keys[1:] else value}


def _without(plain: Mapping[str, object], names: Collection[str], prefix: str = "") -> dict[str, object]:
    return {
        name: _without(value, names, f"{prefix}{name}.") if isinstance(value, Mapping) else value
        for name, value in plain.items()
        if f"{prefix}{name}" not in names
    }


def _merge(defaults: object, given: object) -> object:
    if not (isinstance(defaults, Mapping) and isinstance(given, Mapping)):
        return given
    return {**defaults, **{name: _merge(defaults.get(name), value) for name, value in given.items()}}


def _path(kind: type[object], value: object) -> object:
    if not (issubclass(kind, Path) and isinstance(value, str)):
        raise TypeError(f"Expected a path, got `{value}`")
    return Path(value).expanduser()


def _unknown_names(kind: type[object], plain: object, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    if not isinstance(plain, Mapping):
        return
    kinds = get_type_hints(kind)
    for name, value in plain.items():
        if name not in kinds:
            yield f"{prefix}{name}", [f"{prefix}{known}" for known in kinds]
        elif dataclasses.is_dataclass(kinds[name]):
            yield from _unknown_names(kinds[name], value, f"{prefix}{name}.")


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"known names: {', '.join(known)}"


def require(package: str, needed_by: str, requirements: str) -> None:
    """See that a package is installed, without importing it.

    Args:
        needed_by: the flag that asks for it.
        requirements: the file that pip installs it from.

    Raises:
        ResourceError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ResourceError(
            f"{needed_by} needs the package {package}", f"install it with: pip install -r {requirements}"
        )
