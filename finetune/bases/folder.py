"""A base model in a local folder, in the layout `save_pretrained` writes. Only the files a model needs are taken."""

from pathlib import Path

from finetune.base import LICENCE_FILES, SMALL_FILES, Located, check_config, link_or_copy, read_config, weight_files
from tunegate_core.errors import BadInput, NotFound
from tunegate_core.store import hash_file


class FolderSource:
    """Reads a folder; its identity is the content of the files that are taken."""

    def locate(self, name: str, revision: str | None) -> Located:
        """Hash what would be taken. Raises NotFound or BadInput."""
        if revision is not None:
            raise BadInput(f"{name} is a folder and has no revisions; remove finetune.base.revision")
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise NotFound(f"{name}: there is no such folder; give a model folder, a hub name (org/name) or pkg://NAME")
        check_config(read_config(folder, name), name)
        identity = {path.name: hash_file(path) for path in _wanted(folder, name)}
        return Located(source="folder", identity=identity, folder=folder)

    def fill(self, located: Located, draft: Path) -> str | None:
        """Hard links where the disk allows them (weights are large and never changed), copies elsewhere."""
        for path in _wanted(located.folder, str(located.folder)):
            link_or_copy(path, draft / path.name)
        return None


def _wanted(folder: Path, where: str) -> list[Path]:
    """The files of a model folder that make up a base model; code, pickles and anything else stay out."""
    names = [*SMALL_FILES, *LICENCE_FILES]
    return [folder / name for name in names if (folder / name).is_file()] + [
        folder / name for name in weight_files(folder, where)
    ]


PLUGIN = FolderSource()
