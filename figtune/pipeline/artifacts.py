"""Artifacts: a folder, the stage that makes it, and the manifest that says what it was made from.

The manifest is written last: a folder without one is not current. Its fingerprint covers the stage's name, its
version (bumped by hand when its rules change), the settings it reads and its inputs; never times, never code. So the
fingerprint of a whole chain is known before anything has run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from figtune.pipeline.errors import ArtifactMissingError, InputError
from figtune.pipeline.records import read_json, stream_records, write_json, write_records
from figtune.pipeline.settings import Value

MANIFEST_FILE = "manifest.json"
LIST_FILE = ".files.jsonl"
"""Beside it: every file of the artifact, one a line, since there may be a million."""

_RECORDED_SOFTWARE = ("torch", "transformers", "peft", "pymupdf", "pillow", "datasets", "accelerate", "bitsandbytes")
_SHOWN_CHANGES = 3


@dataclass(frozen=True, kw_only=True)
class Need:
    """An artifact of another stage that a stage reads."""

    stage: str
    folder: Path
    command: str
    """What the user types to make it."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a stage would make, from what, and where: enough to tell whether it has to run."""

    name: str
    version: int
    folder: Path
    command: str
    """What the user types to run it."""
    settings: Mapping[str, Value]
    """Those it reads, by dotted name."""
    layout: Mapping[str, Value] = field(default_factory=dict)
    """Settings, by dotted name, that decide how its files are laid out but not what they say: another one makes it
    anew, and what was made from it stays current."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Input files by name, each with what identifies its content."""
    needs: tuple[Need, ...] = ()
    holds: tuple[str, ...]
    """Names directly below the folder that are the artifact; whatever else lies there is left alone."""
    pages: tuple[str, ...] = ()
    """Those of its files that are made for people to open."""
    always: str | None = None
    """Why it runs whatever the manifest says, for what is asked for rather than made."""


@dataclass(frozen=True, kw_only=True)
class MadeFrom:
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


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`manifest.json`"""

    schema: Literal[1] = 1
    stage: str
    stage_version: int
    fingerprint: str
    made_from: MadeFrom
    layout: dict[str, Value] = field(default_factory=dict)
    counts: dict[str, int]
    failed: int = 0
    """Inputs that could not be used."""
    software: dict[str, str]
    """For information; not part of the fingerprint."""


@dataclass(frozen=True, kw_only=True)
class _Identity:
    """The part of a manifest that tells artifacts apart: the rest may name a hundred thousand papers."""

    fingerprint: str


def made_from(stage: Stage, upstream: Mapping[str, str]) -> MadeFrom:
    """Settings and inputs of a stage, given the fingerprints of what it needs."""
    settings = {name: stage.settings[name] for name in sorted(stage.settings)}
    files = {name: stage.files[name] for name in sorted(stage.files)}
    return MadeFrom(settings=settings, files=files, stages={need.stage: upstream[need.stage] for need in stage.needs})


def fingerprint(stage: Stage, origin: MadeFrom) -> str:
    """The identity of what the stage would make: sha256, in hex."""
    identity = msgspec.json.encode((stage.name, stage.version, origin))
    return hashlib.sha256(identity).hexdigest()


def read_manifest(folder: Path, command: str) -> Manifest | None:
    """The manifest of an artifact, or None where it is not there or cannot be read: either way not current."""
    try:
        return read_json(folder / MANIFEST_FILE, Manifest, command)
    except (ArtifactMissingError, InputError):
        return None


def fingerprint_on_disk(stage: Stage, need: Need) -> str:
    """The fingerprint of an artifact that `stage` needs, as it lies on disk.

    Raises:
        ArtifactMissingError: it is missing or unfinished; the remedy is the command that makes it.
    """
    try:
        return read_json(need.folder / MANIFEST_FILE, _Identity, need.command).fingerprint
    except (ArtifactMissingError, InputError):
        raise ArtifactMissingError(
            f"{stage.name} needs {need.folder}, which is missing or unfinished",
            f"make it with: {need.command} and the same flags",
        ) from None


def why_stale(stage: Stage, origin: MadeFrom, *, force: bool) -> str | None:
    """Why the stage has to run, in words; None where its artifact is current."""
    if stage.always is not None:
        return stage.always
    if force:
        return "asked for with --force"
    manifest = read_manifest(stage.folder, stage.command)
    if manifest is None:
        return "not finished last time" if _holds_files(stage) else "not made yet"
    if manifest.fingerprint != fingerprint(stage, origin):
        return _difference(stage, manifest, origin)
    # Every layout was once the only one, which is called 0.
    if changes := _changed_settings({**dict.fromkeys(stage.layout, 0), **manifest.layout}, stage.layout):
        return f"settings changed: {_shortened(changes)}"
    return _damage(stage)


def write_manifest(stage: Stage, origin: MadeFrom, counts: Mapping[str, int], failed: int = 0) -> None:
    """Declare the artifact finished."""
    write_records(stage.folder / LIST_FILE, _entries(stage.folder, stage.holds))
    write_json(
        stage.folder / MANIFEST_FILE,
        Manifest(
            stage=stage.name,
            stage_version=stage.version,
            fingerprint=fingerprint(stage, origin),
            made_from=origin,
            layout=dict(stage.layout),
            counts=dict(counts),
            failed=failed,
            software=dict(_installed()),
        ),
    )


def _installed() -> Iterator[tuple[str, str]]:
    """Names and versions; a package that a stage can do without may be missing."""
    for name in _RECORDED_SOFTWARE:
        with suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


def drop_manifest(stage: Stage) -> None:
    """Declare the artifact unfinished, before anything in it is touched."""
    (stage.folder / MANIFEST_FILE).unlink(missing_ok=True)


def _holds_files(stage: Stage) -> bool:
    return any((stage.folder / name).exists() for name in stage.holds)


def _entries(folder: Path, names: Iterable[str]) -> Iterator[FileEntry]:
    """Files among `names` in the folder and below, in order."""
    for name in sorted(names):
        path = folder / name
        if path.is_dir():
            for entry in _entries(path, (below.name for below in path.iterdir())):
                yield FileEntry(path=f"{name}/{entry.path}", size=entry.size)
        elif path.is_file():
            yield FileEntry(path=name, size=path.stat().st_size)


def _damage(stage: Stage) -> str | None:
    """What has become of a file; nothing can be told where the list itself is gone."""
    if not (stage.folder / LIST_FILE).is_file():
        return None
    for entry in stream_records(stage.folder / LIST_FILE, FileEntry, stage.command):
        try:
            # Without a Path for each: a data set may have a hundred thousand images.
            size = os.stat(f"{stage.folder}/{entry.path}").st_size  # noqa: PTH116
        except OSError:
            return f"{entry.path} is gone"
        if size != entry.size:
            return f"{entry.path} was changed"
    return None


def _difference(stage: Stage, manifest: Manifest, origin: MadeFrom) -> str:
    """What changed between the artifact on disk and what would be made now."""
    old = manifest.made_from
    reasons = []
    if manifest.stage_version != stage.version:
        reasons.append(f"rules changed: version {manifest.stage_version} -> {stage.version}")
    if changes := _changed_settings(old.settings, origin.settings):
        reasons.append(f"settings changed: {_shortened(changes)}")
    if changes := _changed_files(old.files, origin.files):
        reasons.append(f"inputs changed: {', '.join(changes)}")
    if redone := [name for name, identity in origin.stages.items() if old.stages.get(name) != identity]:
        reasons.append(f"made anew: {', '.join(redone)}")
    return "; ".join(reasons) or "made by something else"


def _changed_settings(old: Mapping[str, Value], new: Mapping[str, Value]) -> list[str]:
    changes = []
    for name in sorted({*old, *new}):
        # Through JSON a tuple comes back as a list; both mean the same setting.
        before, after = _shown(old.get(name)), _shown(new.get(name))
        if before != after:
            changes.append(f"{name} {before} -> {after}")
    return changes


def _shown(value: Value) -> str:
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)


def _shortened(changes: list[str]) -> str:
    rest = len(changes) - _SHOWN_CHANGES
    shown = ", ".join(changes[:_SHOWN_CHANGES])
    return f"{shown} and {rest} more" if rest > 0 else shown


def _changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    counts = {
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "changed": sum(old[name] != new[name] for name in old.keys() & new.keys()),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]
