"""Upload of training results to the Hugging Face Hub: no local paths, no figures, no evaluation.

The adapter goes to USER/NAME, a merged model to USER/NAME-merged, where servers find its weights at the top level.
Unchanged files are not sent again; files of an earlier push that no longer exist here are deleted there.
"""

from __future__ import annotations

import logging
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

logger = logging.getLogger(__name__)

_LOG_IN = "log in with a token with write access: hf auth login"
_PUSHED = (ADAPTER_FOLDER, PROCESSOR_FOLDER, BASE_FOLDER, MODEL_FILE, METRICS_FILE, CURVES_FILE, CARD_FILE)
"""Uploaded files. Settings (local paths), checkpoints and the evaluation (figures of papers) stay here."""
_WITH_PATHS = (".json", ".md")
"""Suffixes of files that name the folder of the base model."""
_UNAUTHORIZED, _FORBIDDEN, _PAYMENT = 401, 403, 402


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Target repository and its visibility."""

    repository: str
    """Repository, as USER/NAME."""
    public: bool
    """True to create a public repository; an existing one keeps its visibility."""


def check_upload_access(upload: Upload) -> None:
    """Check the repository name and the token.

    Raises:
        UsageError: not a repository name.
        ResourceError: no token, one that the Hub does not accept, or no network.
    """
    _check_name(upload.repository)
    with _translate_hub_errors(upload.repository):
        HfApi(endpoint=constants.ENDPOINT).whoami(token=_token())


def push_adapter(output_dir: Path, upload: Upload) -> int:
    """Upload adapter, processor, card, curves and training metrics of OUTPUT; the base model only if it is a tiny one.

    Returns:
        The number of these files in the repository.

    Raises:
        UsageError: not a repository name.
        ResourceError: no token, no right to write there, or no network.
    """
    record = read_adapter_record(output_dir)
    with _staged_folder(output_dir, _PUSHED, record) as folder:
        return _push(folder, upload.repository, upload, "Upload adapter")


def push_merged(merged: Path, output_dir: Path, upload: Upload) -> int:
    """Upload a merged model to USER/NAME-merged; raises and returns as `push_adapter` does."""
    with _staged_folder(merged, MERGED_CONTENTS, read_adapter_record(output_dir)) as folder:
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
        raise ResourceError("no Hub token on this machine", _LOG_IN)
    return token


def _push(folder: Path, repository: str, upload: Upload, message: str) -> int:
    _check_name(repository)
    token = _token()
    api = HfApi(endpoint=constants.ENDPOINT)
    with _translate_hub_errors(repository):
        api.create_repo(repository, token=token, private=not upload.public, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            token=token,
            commit_message=message,
            delete_patterns=[f"{ADAPTER_FOLDER}/*", f"{PROCESSOR_FOLDER}/*", "*.safetensors"],
        )
    logger.info(f"push: {constants.ENDPOINT}/{repository}")
    return sum(path.is_file() for path in folder.rglob("*"))


@contextmanager
def _staged_folder(source: Path, names: tuple[str, ...], record: ModelRecord) -> Iterator[Path]:
    """Stage the files to upload in a temporary folder; large files are symlinks.

    Local paths of a base model are replaced by the folder's name.
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
def _translate_hub_errors(repository: str) -> Iterator[None]:
    """Translate errors of the Hub's client.

    Raises:
        ResourceError: with a remedy, in place of the library's errors.
    """
    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, ConnectionError, TimeoutError) as failure:
        raise _hub_error(failure, repository) from None
    except RuntimeError as failure:
        # Uploads of large files wrap the cause in a RuntimeError.
        if not isinstance(failure.__cause__, HfHubHTTPError | httpx2.HTTPError | ConnectionError | TimeoutError):
            raise
        raise _hub_error(failure.__cause__, repository) from None


def _hub_error(failure: Exception, repository: str) -> ResourceError:
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
