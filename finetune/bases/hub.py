"""A base model on the Hugging Face hub, its revision resolved to a commit. Offline, the local hub cache is read."""

from pathlib import Path

from finetune.base import (
    LICENCE_FILES,
    SMALL_FILES,
    WEIGHTS,
    WEIGHTS_INDEX,
    Located,
    check_config,
    link_or_copy,
    read_config,
    weight_files,
)
from tunegate_core.errors import BadInput, NotFound


class HubSource:
    """Downloads small files first, so that a model that can't be used is refused before its weights travel."""

    def locate(self, name: str, revision: str | None) -> Located:
        """Resolve the revision and check the config. `name` may carry it: `org/name@<commit>`."""
        name, _, pinned = name.partition("@")
        folder = _download(name, pinned or revision, [*SMALL_FILES, *LICENCE_FILES, "README.md", WEIGHTS_INDEX])
        source = f"hub://{name}@{folder.name}"
        check_config(read_config(folder, source), source)
        return Located(source, {"commit": folder.name}, folder)

    def fill(self, located: Located, draft: Path) -> str | None:
        """Fetch the weights of that commit and copy everything into the draft."""
        name, commit = located.source.removeprefix("hub://").split("@")
        sharded = (located.folder / WEIGHTS_INDEX).is_file()
        folder = _download(name, commit, ["model-*-of-*.safetensors"] if sharded else [WEIGHTS])
        if not sharded and not (folder / WEIGHTS).is_file():
            raise BadInput(
                f"{located.source} has no safetensors weights, and pickles are never loaded (they can run code); "
                "name a revision or a copy that holds model.safetensors"
            )
        for file in [*SMALL_FILES, *LICENCE_FILES, *weight_files(folder, located.source)]:
            if (folder / file).is_file():
                link_or_copy(folder / file, draft / file)
        return _licence(folder)


def _download(name: str, revision: str | None, patterns: list[str]) -> Path:
    """The snapshot folder, named by its commit, holding the files that match. Raises NotFound or BadInput."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    what = f"{name}@{revision}" if revision else name
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except HFValidationError as error:
        raise BadInput(f"'{name}' is neither a folder here nor a hub name (org/name): {error}") from error
    except GatedRepoError as error:
        raise NotFound(f"{what} is gated; accept its terms on the hub and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise NotFound(f"{name} has no revision '{revision}'; give a branch, tag or commit of it") from error
    except RepositoryNotFoundError as error:
        raise NotFound(f"the hub has no model '{name}', or it is private; check the name, or set HF_TOKEN") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise NotFound(
            f"{what} is not in the local hub cache and the hub can't be reached ({type(error).__name__}); "
            "connect, unset HF_HUB_OFFLINE, or give a local folder"
        ) from error


def _licence(folder: Path) -> str | None:
    """The licence the model card declares."""
    from huggingface_hub import ModelCard

    try:
        declared = ModelCard.load(folder / "README.md").data.get("license")
    except Exception:  # a missing or malformed card declares nothing
        return None
    return declared if isinstance(declared, str) else None


PLUGIN = HubSource()
