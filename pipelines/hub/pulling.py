"""A repository of the hub -> the part of it in the local cache that a checkpoint is."""

import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipelines.command_line import UserError, in_short
from pipelines.data.locations import local_path
from pipelines.pretrained import without_bars

ENDINGS = (".json", ".safetensors", ".txt")
"""Of the files of a checkpoint. Nothing else is pulled or pushed, pickles least of all."""
SECONDS = 10
"""How long the hub may take to say that it is there; the library itself would wait for minutes."""


@dataclass(frozen=True)
class Repository:
    """`owner/name` on the hub; a branch, tag or commit of it, or the newest."""

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


def hub_repository(name: str | Path) -> Repository | None:
    """The repository that `owner/name` or `owner/name@revision` means, where it can be no folder
    of this machine (see `local_path`).

    Raises:
        UserError: this machine knows no such names.
    """
    # The cache has a file of the revision's name, so `..` and a leading `/` would lead out of it.
    found = re.fullmatch(r"([^@]+)(?:@(\w[\w.-]*(?:/\w[\w.-]*)*))?", str(name))
    try:
        if found is None or Path(name).exists():
            return None
        here = local_path(found[1], "checkpoint")
    except UserError:
        return None
    except OSError as error:  # longer than names may be
        raise UserError(
            f"{str(name)[:40]}… cannot be looked for ({error.strerror}); name a checkpoint folder."
        ) from None
    return Repository(found[1], found[2]) if here is None else None


def pull(repository: Repository, index: str, parts: Callable[[Path], Iterable[str]]) -> Path:
    """The folder of the cache with a checkpoint's index and its parts, downloaded where need be.

    Without a network, or with HF_HUB_OFFLINE, what the cache holds of it.

    Args:
        index: the name of the file that lists the parts.
        parts: reads it in the folder and names the parts, or refuses the checkpoint before the
            rest of it is downloaded.

    Raises:
        UserError: there is no such repository, it is no checkpoint, it must not be read, or it is
            not in the cache where there is no network.
    """
    unreachable = why_unreachable(repository)
    with without_bars():
        folder = _download(repository, [index], unreachable, f"there is no folder {repository}")
    if not (folder / index).is_file():
        raise UserError(
            f"the repository {repository} on the hub holds no {index}; name one that drawscribe's "
            "push_to_hub.py has written."
        )
    wanted = tuple(parts(folder))
    patterns = [f"{part}/*{ending}" for part in wanted for ending in ENDINGS]
    # What belongs to the index, even where the repository has just been pushed to.
    commit = Repository(repository.name, folder.name)
    here = all((folder / part).is_dir() for part in wanted)
    with without_bars() if here else nullcontext():
        return _download(
            commit, patterns, unreachable, f"the repository {repository} is here only in part"
        )


def holds(repository: Repository, file: str) -> bool:
    """Whether the repository has such a file, as far as can be told."""
    try:
        with without_bars():
            folder = _download(repository, [file], why_unreachable(repository), "")
    except UserError:
        return False
    return (folder / file).is_file()


def was_pulled(repository: Repository, file: str, repo_type: str = "model") -> bool:
    """Whether the local cache has a file of the repository. A name alone proves nothing: that of a
    folder which is gone, or is seen from another working folder, may look like a repository's."""
    try:
        found = try_to_load_from_cache(
            repository.name, file, revision=repository.revision, repo_type=repo_type
        )
    except ValueError:  # no name that the hub gives
        return False
    return isinstance(found, str)


def why_unreachable(repository: Repository) -> Exception | None:
    """Why the hub does not answer, or None."""
    try:
        HfApi().model_info(repository.name, revision=repository.revision, timeout=SECONDS)
    except (HfHubHTTPError, ValueError):  # an answer; or no name to ask for
        return None
    except Exception as error:  # of whichever library the hub's speaks HTTP with
        return error
    return None


def _download(
    repository: Repository, patterns: list[str], unreachable: Exception | None, lacking: str
) -> Path:
    """Files of the repository, in the cache.

    Args:
        lacking: what to say where neither hub nor cache has them.
    """
    try:
        return Path(
            snapshot_download(
                repository.name,
                revision=repository.revision,
                allow_patterns=patterns,
                local_files_only=unreachable is not None,
            )
        )
    except GatedRepoError as error:
        raise UserError(
            f"the repository {repository} on the hub is gated; ask for access on its page there, "
            "and log in (hf auth login)."
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{lacking}, and there is no repository of that name on the hub that you may read; "
            "check the spelling, or log in (hf auth login) if it is private."
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(
            f"the repository {repository.name} on the hub has no revision {repository.revision}; "
            "name a branch, a tag or a commit of it."
        ) from error
    except LocalEntryNotFoundError as error:
        if isinstance(unreachable, OfflineModeIsEnabled):
            raise UserError(
                f"{lacking}, and with HF_HUB_OFFLINE no more than the hub's local cache is looked "
                "into; name a checkpoint folder, or pull it once without that."
            ) from error
        reason = in_short(unreachable or error)
        raise UserError(
            f"{lacking}, and the hub, which may have it, cannot be reached ({reason}); name a "
            "checkpoint folder, or try again when there is a network."
        ) from error
    except Exception as error:  # whatever network, hub or a full disk make the library raise
        raise UserError(
            f"the repository {repository} cannot be pulled from the hub ({in_short(error)}); "
            "name another, or try again."
        ) from error
