"""What training has left, in repositories of the Hugging Face Hub: only what others need, and nothing of this machine.

The adapter goes to USER/NAME, a merged model to USER/NAME-merged, where servers find its weights at the top. Files that
are there already with the same content are not sent again; files of an earlier push that are gone here go there too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id

from figtune.core.errors import ResourceError, UsageError
from figtune.core.log import log
from figtune.inference.adapter_record import read_adapter_record
from figtune.models.records import (
    ADAPTER_FOLDER,
    BASE_FOLDER,
    CARD_FILE,
    CURVES_FILE,
    MERGED_CONTENTS,
    METRICS_FILE,
    MODEL_FILE,
    PROCESSOR_FOLDER,
    ModelRecord,
)

_LOG_IN = "log in with a token that may write: hf auth login"
_PUSHED = (ADAPTER_FOLDER, PROCESSOR_FOLDER, BASE_FOLDER, MODEL_FILE, METRICS_FILE, CURVES_FILE, CARD_FILE)
"""Neither settings, which hold paths of this machine, nor checkpoints, nor the evaluation, which holds figures."""
_WITH_PATHS = (".json", ".md")
"""Ends of the files that name the base model's folder."""
_UNAUTHORIZED, _FORBIDDEN, _PAYMENT = 401, 403, 402


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Where to, and for whom."""

    repository: str
    """USER/NAME"""
    public: bool
    """Applies to a repository that is not there yet; one that is stays as it is."""


def check_access(upload: Upload) -> None:
    """See that the name is one, and that the Hub knows the token.

    Raises:
        UsageError: no name of a repository.
        ResourceError: no token, one that the Hub does not accept, or no network.
    """
    _check_name(upload.repository)
    with _explaining(upload.repository):
        HfApi(endpoint=constants.ENDPOINT).whoami(token=_token())


def push_adapter(output_dir: Path, upload: Upload) -> int:
    """Upload adapter, processor, card, curves and numbers of OUTPUT; the base model only where it is a tiny one.

    Returns:
        How many files the repository holds of them.

    Raises:
        UsageError: no name of a repository.
        ResourceError: no token, no right to write there, or no network.
    """
    record = read_adapter_record(output_dir)
    with _copy(output_dir, _PUSHED, record) as folder:
        return _push(folder, upload.repository, upload, "Upload adapter")


def push_merged(merged: Path, output_dir: Path, upload: Upload) -> int:
    """Upload a merged model to the repository beside the adapter's; raises and returns as `push_adapter` does."""
    with _copy(merged, MERGED_CONTENTS, read_adapter_record(output_dir)) as folder:
        return _push(folder, f"{upload.repository}-merged", upload, "Upload merged model")


def _check_name(repository: str) -> None:
    try:
        validate_repo_id(repository)
    except HFValidationError:
        repository = ""
    if repository.count("/") != 1:
        raise UsageError("--push_to_hub takes the name of a repository", "give it as USER/NAME")


def _token() -> str:
    token = get_token()
    if token is None:
        raise ResourceError("nobody is logged in to the Hub on this machine", _LOG_IN)
    return token


def _push(folder: Path, repository: str, upload: Upload, message: str) -> int:
    _check_name(repository)
    token = _token()
    api = HfApi(endpoint=constants.ENDPOINT)
    with _explaining(repository):
        api.create_repo(repository, token=token, private=not upload.public, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            token=token,
            commit_message=message,
            delete_patterns=[f"{ADAPTER_FOLDER}/*", f"{PROCESSOR_FOLDER}/*", "*.safetensors"],
        )
    log(f"push: {constants.ENDPOINT}/{repository}")
    return sum(path.is_file() for path in folder.rglob("*"))


@contextmanager
def _copy(source: Path, names: tuple[str, ...], record: ModelRecord) -> Iterator[Path]:
    """What is to be uploaded, in a folder of its own; large files are linked to, not copied.

    A base model in a folder of this machine is named by that folder's last part: where it lies is nobody's business.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in names:
            for file in sorted((source / name).rglob("*")) if (source / name).is_dir() else [source / name]:
                if file.is_file():
                    _copy_file(file, folder / file.relative_to(source), record)
        yield folder


def _copy_file(file: Path, target: Path, record: ModelRecord) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix not in _WITH_PATHS:
        target.symlink_to(file.resolve())
    elif record.commit is None and not record.tiny:
        text = file.read_text(encoding="utf-8")
        target.write_text(text.replace(record.base, Path(record.base).name), encoding="utf-8")
    else:
        shutil.copyfile(file, target)


@contextmanager
def _explaining(repository: str) -> Iterator[None]:
    """What the Hub refuses, told with what to do about it.

    Raises:
        ResourceError: in place of the library's errors.
    """
    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, ConnectionError, TimeoutError) as failure:
        raise _explained(failure, repository) from None
    except RuntimeError as failure:
        # The upload of a large file wraps what went wrong.
        if not isinstance(failure.__cause__, HfHubHTTPError | httpx2.HTTPError | ConnectionError | TimeoutError):
            raise
        raise _explained(failure.__cause__, repository) from None


def _explained(failure: Exception, repository: str) -> ResourceError:
    if not isinstance(failure, HfHubHTTPError):
        return ResourceError(
            f"{repository} cannot be uploaded: {constants.ENDPOINT} does not answer",
            "check the network and run again; what is there already is not sent again",
        )
    status = failure.response.status_code
    if status == _UNAUTHORIZED and not isinstance(failure, RepositoryNotFoundError):
        return ResourceError("the Hub did not accept your token", f"renew it: {_LOG_IN}")
    if status in (_UNAUTHORIZED, _FORBIDDEN) or isinstance(failure, RepositoryNotFoundError):
        return ResourceError(
            f"your token may not write to {repository}",
            f"give it write access at {constants.ENDPOINT}/settings/tokens, or --push_to_hub a name of your own",
        )
    if status == _PAYMENT:
        return ResourceError(
            f"{repository} is beyond what your account may store privately", "make room there, or give --push_public"
        )
    return ResourceError(
        f"{repository} cannot be uploaded: {constants.ENDPOINT} answered {status}",
        "run again later; what is there already is not sent again",
    )
