"""Where JupyterLab keeps its checkpoints while `dlnotes study` runs."""

import os
from pathlib import Path

from jupyter_server.services.contents.filecheckpoints import AsyncFileCheckpoints


class ProjectCheckpoints(AsyncFileCheckpoints):
    """Keeps all checkpoints below `checkpoint_dir`, an absolute path.

    Jupyter's own class makes a hidden folder beside every notebook that is saved.
    """

    def checkpoint_path(self, checkpoint_id: str, path: str) -> str:
        """Return the file of one checkpoint; `path` is relative to the server's root."""
        folder, name = os.path.split(path.strip("/"))
        stem, suffix = os.path.splitext(name)
        target = Path(self.checkpoint_dir, folder)
        with self.perm_to_403():
            target.mkdir(parents=True, exist_ok=True)
        return str(target / f"{stem}-{checkpoint_id}{suffix}")
