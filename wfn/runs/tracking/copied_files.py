"""A run's files in its tracking store: brought in, and then looked for, as not all that answers for a server is one."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from wfn.runs.record import Record, leads_out
from wfn.runs.tracking.mlflow_database import StoreAwayError
from wfn.system.files import is_partial

log = logging.getLogger(__name__)


def copy_files(client: Any, record: Record, run_id: str) -> Iterator[Path]:
    """Bring the files of a record into the MLflow run ``run_id``; those that lead out of the folder are left out.

    Yields:
        Each, once the store has answered.

    Raises:
        StoreAwayError: the store took a file, but does not have all of it.
    """
    copied: defaultdict[str, dict[str, int]] = defaultdict(dict)  # folder below the record's files -> name -> bytes
    for path in sorted(record.files.rglob("*")):
        if leads_out(record.files, path):
            log.warning("left out: %s leads out of the run's folder", path)
            continue
        if not path.is_file() or is_partial(path):
            continue
        place = path.relative_to(record.files).parent.as_posix()
        folder = "" if place == "." else place
        client.log_artifact(run_id, str(path), folder or None)
        copied[folder][path.name] = path.stat().st_size
        yield path
    for folder, sizes in copied.items():
        there = {
            PurePosixPath(file.path).name: file.file_size for file in client.list_artifacts(run_id, folder or None)
        }
        for name, size in sizes.items():
            if there.get(name, -1) not in (size, None):  # not every store tells sizes
                raise StoreAwayError(f"the tracking store took {name} of run {record.id}, but has it not whole")
