"""Repositories of the Hugging Face Hub, downloaded into its cache; what goes wrong is told with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, get_token, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from figtune.core.errors import ResourceError

_LOG_IN = "log in with: hf auth login"
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of the Hub, and the flags that name it."""

    kind: Literal["model", "dataset"]
    name: str
    """Such as "google/gemma-3-4b-pt"."""
    revision: str | None
    """Branch, tag or commit."""
    name_flag: str
    revision_flag: str

    @property
    def noun(self) -> str:
        """Name in messages."""
        return "model" if self.kind == "model" else "data set"

    @property
    def page(self) -> str:
        """Address for people."""
        return f"{constants.ENDPOINT}/{'' if self.kind == 'model' else 'datasets/'}{self.name}"


def download(repository: Repository, patterns: Sequence[str] | None) -> Path:
    """Return the folder of a repository's snapshot in the cache, complete; files that are there already are not fetched
    again.

    Args:
        patterns: file names that are wanted; None for all.

    Raises:
        ResourceError: it is unavailable; the remedy says which page to visit or what to type.
    """
    if repository.revision is not None and (cached := _cached(repository, patterns)) is not None:
        return cached
    try:
        return _snapshot(repository, patterns, offline=False)
    except HFValidationError:
        raise _no_name(repository) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx2.HTTPError) as failure:
        raise _translate_error(failure, repository) from None
    except OSError as failure:
        if failure.errno is not None:
            raise
        # A file that arrived with another size than announced.
        raise _translate_error(failure, repository) from None


def check_access(repository: Repository, probe: str | None = None) -> tuple[str, ...]:
    """See that files of a repository may be downloaded, without downloading them.

    Args:
        probe: a file that only those may read who have accepted the licence; None for the last one in the repository.

    Returns:
        Names of its files.

    Raises:
        ResourceError: no network, no such repository, or no right to read it; the remedy says what to do.
    """
    api = HfApi(endpoint=constants.ENDPOINT)
    try:
        info = api.model_info if repository.kind == "model" else api.dataset_info
        found = info(repository.name, revision=repository.revision or "main", timeout=_TIMEOUT_SECONDS)
        names = tuple(file.rfilename for file in found.siblings or ())
        if names:
            url = hf_hub_url(
                repository.name, probe or names[-1], repo_type=repository.kind, revision=found.sha or "main"
            )
            get_hf_file_metadata(url)
    except HFValidationError:
        raise _no_name(repository) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx2.HTTPError, ConnectionError) as failure:
        raise _translate_error(failure, repository) from None
    return names


def _no_name(repository: Repository) -> ResourceError:
    return ResourceError(
        f'"{repository.name}" is neither a folder nor a Hub id',
        f"give {repository.name_flag} a folder, or a Hub id such as google/gemma-3-4b-pt",
    )


def is_cached(repository: Repository) -> bool:
    """Return True if an earlier run has downloaded the repository, whole or in part, at this revision."""
    return _cached(repository, None) is not None


def _cached(repository: Repository, patterns: Sequence[str] | None) -> Path | None:
    """Return the snapshot of an earlier run, complete, without network."""
    try:
        return _snapshot(repository, patterns, offline=True)
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _snapshot(repository: Repository, patterns: Sequence[str] | None, *, offline: bool) -> Path:
    return Path(
        snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=None if patterns is None else list(patterns),
            local_files_only=offline,
        )
    )


def _translate_error(failure: Exception, repository: Repository) -> ResourceError:
    # Where nothing is cached either, the complaint about the cache was raised from what the Hub answered.
    cause = failure.__cause__
    if isinstance(failure, LocalEntryNotFoundError) and isinstance(cause, HfHubHTTPError):
        failure = cause
    name, page, token = repository.name, repository.page, get_token()
    if isinstance(failure, GatedRepoError):
        licence = f"accept the licence at {page}"
        return ResourceError(
            f"{name} is open only to those who have accepted its licence",
            f"{licence} with the account of your token" if token else f"{licence}, then {_LOG_IN}",
        )
    if isinstance(failure, RevisionNotFoundError):
        return ResourceError(
            f"{name} has no revision {repository.revision}",
            f"see {page}/commits/main, or leave out {repository.revision_flag}",
        )
    if isinstance(failure, HfHubHTTPError) and failure.response.status_code == _UNAUTHORIZED and token:
        return ResourceError(f"the Hub did not accept your token for {name}", f"renew it: {_LOG_IN}")
    if isinstance(failure, RepositoryNotFoundError):
        private = "" if token else f"; if it is private, {_LOG_IN}"
        return ResourceError(f"there is no {repository.noun} {name} on the Hub", f"check the name at {page}{private}")
    if isinstance(failure, HfHubHTTPError) and failure.response.status_code == _FORBIDDEN:
        return ResourceError(f"your token may not read {name}", f"give it read access, then {_LOG_IN}")
    if constants.HF_HUB_OFFLINE:
        return ResourceError(
            f"{name} is not wholly on this machine, and HF_HUB_OFFLINE is set",
            f"unset it once, or give {repository.name_flag} a local folder",
        )
    answered = f"answered {failure.response.status_code}" if isinstance(failure, HfHubHTTPError) else "does not answer"
    return ResourceError(
        f"{name} cannot be downloaded: {constants.ENDPOINT} {answered}",
        f"check the network and run again, which keeps what is here, or give {repository.name_flag} a local folder",
    )
