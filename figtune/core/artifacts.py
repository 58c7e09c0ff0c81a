"""Artifacts: a folder, the stage that makes it, and the manifest that says what it was made from.

The manifest is written last: a folder without one is not current. Its fingerprint covers the stage's name, its
version (bumped by hand when its rules change), the settings it reads and its inputs; never times, never code. So the
fingerprint of a whole chain is known before anything has run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from figtune.core.errors import ArtifactMissingError, InputError
from figtune.core.io import sha256_of
from figtune.core.jsonl import read_json, stream_records, write_json, write_records
from figtune.core.settings import Value

MANIFEST_FILE = "manifest.json"
LIST_FILE = ".files.jsonl"
"""Beside it: every file of the artifact, one a line, since there may be a million."""

_RECORDED_SOFTWARE = ("torch", "transformers", "peft", "pymupdf", "pillow", "datasets", "accelerate", "bitsandbytes")
_MAX_CHANGES = 3
_HASHED_BYTES = 1 << 30
"""Larger files are compared by size alone: hashing the weights of a whole model would take longer than loading them."""


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """An artifact of another stage that a stage reads."""

    stage: str
    folder: Path
    command: str
    """Command that makes it."""
    reads: tuple[str, ...] = ()
    """Names directly below the folder that are read, hence checked before; empty for all."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Plan of a stage: its settings, inputs, folder and command; enough to decide whether it has to run."""

    name: str
    version: int
    folder: Path
    command: str
    """Command that runs it."""
    settings: Mapping[str, Value]
    """Settings that it reads, by dotted name."""
    layout: Mapping[str, Value] = field(default_factory=dict)
    """Settings, by dotted name, that decide how its files are laid out but not what they say: another one makes it
    anew, and what was made from it stays current."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Input files by name, each with what identifies its content."""
    needs: tuple[Dependency, ...] = ()
    outputs: tuple[str, ...]
    """Names directly below the folder that are the artifact; whatever else lies there is left alone."""
    bulk: tuple[str, ...] = ()
    """Folders among `outputs` with very many files, which are compared by size and not by sha256."""
    staging_folder: Path | None = None
    """Folder in which the artifact is built before it takes the place of the one that is there; None for a stage that
    carries on in its own folder."""
    html_pages: tuple[str, ...] = ()
    """HTML pages among its files, made for people to open."""
    always_run: str | None = None
    """Reason to run regardless of the manifest, for a result that is asked for and not kept."""

    @staticmethod
    def on_request(name: str, folder: Path, command: str, why: str, needs: tuple[Dependency, ...] = ()) -> Stage:
        """Return a stage whose result is asked for and not kept: nothing can be current."""
        return Stage(
            name=name, version=0, folder=folder, command=command, settings={}, needs=needs, outputs=(), always_run=why
        )

    @property
    def build_folder(self) -> Path:
        """Folder that the stage writes into."""
        return self.staging_folder or self.folder


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything that decides what an artifact holds."""

    settings: dict[str, Value]
    files: dict[str, str]
    stages: dict[str, str]
    """Fingerprints of the artifacts read."""


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A line of `.files.jsonl`."""

    path: str
    size: int
    """Bytes."""
    sha256: str = ""
    """Digest in hex; empty for files of bulk folders and for very large ones."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`manifest.json`"""

    schema: Literal[1] = 1
    stage: str
    stage_version: int
    fingerprint: str
    made_from: Provenance
    layout: dict[str, Value] = field(default_factory=dict)
    counts: dict[str, int]
    failed: int = 0
    """Inputs that could not be used."""
    software: dict[str, str]
    """Informative value; not part of the fingerprint."""
    files_sha256: str = ""
    """sha256 of `.files.jsonl`, in hex; empty in manifests of earlier versions."""


@dataclass(frozen=True, kw_only=True)
class _ManifestFingerprint:
    """The part of a manifest that tells artifacts apart: the rest may name a hundred thousand papers."""

    fingerprint: str
    files_sha256: str = ""


def provenance(stage: Stage, upstream: Mapping[str, str]) -> Provenance:
    """Return the settings and inputs of a stage, given the fingerprints of its dependencies."""
    settings = {name: stage.settings[name] for name in sorted(stage.settings)}
    files = {name: stage.files[name] for name in sorted(stage.files)}
    return Provenance(settings=settings, files=files, stages={need.stage: upstream[need.stage] for need in stage.needs})


def fingerprint(stage: Stage, origin: Provenance) -> str:
    """Return the sha256, in hex, that identifies the artifact to be made."""
    identity = msgspec.json.encode((stage.name, stage.version, origin))
    return hashlib.sha256(identity).hexdigest()


def read_manifest(folder: Path, command: str) -> Manifest | None:
    """Return the manifest of an artifact; None where it is missing or unreadable, and so not current."""
    try:
        return read_json(folder / MANIFEST_FILE, Manifest, command)
    except (ArtifactMissingError, InputError):
        return None


def fingerprint_on_disk(stage: Stage, need: Dependency) -> str:
    """Return the fingerprint of an artifact that `stage` needs, as it lies on disk.

    Raises:
        ArtifactMissingError: it is missing or unfinished; the remedy is the command that makes it.
    """
    try:
        return read_json(need.folder / MANIFEST_FILE, _ManifestFingerprint, need.command).fingerprint
    except (ArtifactMissingError, InputError):
        raise ArtifactMissingError(
            f"{stage.name} needs {need.folder}, which is missing or unfinished",
            f"make it with: {need.command} and the same flags",
        ) from None


def stale_reason(stage: Stage, origin: Provenance, *, force: bool) -> str | None:
    """Return the reason to run the stage, in words; None where its artifact is current."""
    if stage.always_run is not None:
        return stage.always_run
    if force:
        return "asked for with --force"
    manifest = read_manifest(stage.folder, stage.command)
    if manifest is None:
        begun = any((stage.folder / name).exists() for name in stage.outputs)
        return "not finished last time" if begun else "not made yet"
    if manifest.fingerprint != fingerprint(stage, origin):
        return _difference(stage, manifest, origin)
    # Every layout was once the only one, which is called 0.
    if changes := changed_settings({**dict.fromkeys(stage.layout, 0), **manifest.layout}, stage.layout):
        return f"settings changed: {shortened(changes)}"
    return _damage(stage.folder, manifest.files_sha256, stage.command, lambda _: True)


def check_need(stage: Stage, need: Dependency) -> None:
    """Compare the files of `need` that `stage` reads with what their maker recorded.

    Raises:
        ArtifactMissingError: a file is missing, was changed or cut short; the remedy is the command that makes it.
    """
    manifest = read_json(need.folder / MANIFEST_FILE, _ManifestFingerprint, need.command)
    check_files(need.folder, manifest.files_sha256, need.command, need.reads, stage.name)


def check_recorded(folder: Path, command: str, reads: tuple[str, ...], reader: str) -> None:
    """Do the same for a folder that may have no manifest, such as an adapter that was copied without it."""
    manifest = read_manifest(folder, command)
    if manifest is not None:
        check_files(folder, manifest.files_sha256, command, reads, reader)


def check_files(folder: Path, files_sha256: str, command: str, reads: tuple[str, ...], reader: str) -> None:
    """Compare files of an artifact with their record.

    Args:
        files_sha256: of the record itself.
        reads: names directly below the folder; empty for all.

    Raises:
        ArtifactMissingError: a file is missing or was changed.
    """
    damage = _damage(folder, files_sha256, command, lambda path: not reads or path.split("/", 1)[0] in reads)
    if damage is not None:
        raise ArtifactMissingError(
            f"{reader} cannot use {folder}: {damage} since it was made",
            f"make it again with: {command} --force and the same flags",
        )


def write_manifest(stage: Stage, origin: Provenance, counts: Mapping[str, int], failed: int = 0) -> None:
    """Declare the artifact finished, and put it in its place where it was built apart."""
    built = stage.build_folder
    write_records(built / LIST_FILE, _entries(built, stage.outputs, stage.bulk))
    write_json(
        built / MANIFEST_FILE,
        Manifest(
            stage=stage.name,
            stage_version=stage.version,
            fingerprint=fingerprint(stage, origin),
            made_from=origin,
            layout=dict(stage.layout),
            counts=dict(counts),
            failed=failed,
            software=dict(_software_versions()),
            files_sha256=sha256_of(built / LIST_FILE),
        ),
    )
    if stage.staging_folder is not None:
        _take_place(stage, stage.staging_folder)


def _take_place(stage: Stage, built: Path) -> None:
    """Replace the artifact by the one in `built`. Its manifest goes first and comes last."""
    invalidate(stage)
    for name in (*stage.outputs, LIST_FILE, MANIFEST_FILE):
        target = stage.folder / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        if (built / name).exists():
            shutil.move(built / name, target)
    shutil.rmtree(built)


def _software_versions() -> Iterator[tuple[str, str]]:
    """Yield names and versions; a package that a stage can do without may be missing."""
    for name in _RECORDED_SOFTWARE:
        with suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


def invalidate(stage: Stage) -> None:
    """Declare the artifact unfinished, before anything in it is touched."""
    (stage.folder / MANIFEST_FILE).unlink(missing_ok=True)


def _entries(folder: Path, names: Iterable[str], bulk: tuple[str, ...]) -> Iterator[FileEntry]:
    """Yield files among `names` in the folder and below, in order."""
    for name in sorted(names):
        yield from _entries_of(folder / name, name, hashed=name not in bulk)


def _entries_of(path: Path, name: str, *, hashed: bool) -> Iterator[FileEntry]:
    if path.is_dir():
        for below in sorted(each.name for each in path.iterdir()):
            yield from _entries_of(path / below, f"{name}/{below}", hashed=hashed)
    elif path.is_file():
        size = path.stat().st_size
        yield FileEntry(path=name, size=size, sha256=sha256_of(path) if hashed and size <= _HASHED_BYTES else "")


def _damage(folder: Path, files_sha256: str, command: str, is_read: Callable[[str], bool]) -> str | None:
    """Return which recorded file is gone or was changed, in words; None where all are as they were made."""
    listed = folder / LIST_FILE
    if not listed.is_file():
        return f"its record {LIST_FILE} is gone"
    if files_sha256 and sha256_of(listed) != files_sha256:
        return f"its record {LIST_FILE} was changed"
    try:
        entries = stream_records(listed, FileEntry, command)
        found = (_damage_of(f"{folder}/{entry.path}", entry) for entry in entries if is_read(entry.path))
        return next((damage for damage in found if damage is not None), None)
    except InputError:
        return f"its record {LIST_FILE} was changed"


def _damage_of(path: str, entry: FileEntry) -> str | None:
    try:
        # Without a Path for each: a data set may have a hundred thousand images.
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return f"{entry.path} is gone"
    if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
        return f"{entry.path} was changed"
    if entry.sha256 and sha256_of(Path(path)) != entry.sha256:
        return f"{entry.path} was changed"
    return None


def _difference(stage: Stage, manifest: Manifest, origin: Provenance) -> str:
    """Return the differences between the artifact on disk and the one to be made now."""
    old = manifest.made_from
    reasons = []
    if manifest.stage_version != stage.version:
        reasons.append(f"rules changed: version {manifest.stage_version} -> {stage.version}")
    if changes := changed_settings(old.settings, origin.settings):
        reasons.append(f"settings changed: {shortened(changes)}")
    if changes := _changed_files(old.files, origin.files):
        reasons.append(f"inputs changed: {', '.join(changes)}")
    if redone := [name for name, identity in origin.stages.items() if old.stages.get(name) != identity]:
        reasons.append(f"made anew: {', '.join(redone)}")
    return "; ".join(reasons) or "made by something else"


def changed_settings(old: Mapping[str, Value], new: Mapping[str, Value]) -> list[str]:
    """Return each setting that differs, in words."""
    changes = []
    for name in sorted({*old, *new}):
        # Through JSON a tuple comes back as a list; both mean the same setting.
        before, after = _formatted(old.get(name)), _formatted(new.get(name))
        if before != after:
            changes.append(f"{name} {before} -> {after}")
    return changes


def _formatted(value: Value) -> str:
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)


def shortened(changes: list[str]) -> str:
    """Return the first of them as one text, and the number of the others."""
    rest = len(changes) - _MAX_CHANGES
    shown = ", ".join(changes[:_MAX_CHANGES])
    return f"{shown} and {rest} more" if rest > 0 else shown


def _changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    counts = {
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "changed": sum(old[name] != new[name] for name in old.keys() & new.keys()),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]
