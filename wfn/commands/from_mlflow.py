"""The commands of MLproject: ``python -m wfn.commands.from_mlflow MODULE ...`` is ``python -m MODULE ...`` elsewhere.

MLflow starts a project's command in the project's folder, for a Git URI in a clone of it that nobody looks into. Paths
and functions that a person gives, such as ``-P weights=my.pth`` or ``-P model=mymodule:network``, lie in the folder
that the person called ``mlflow run`` from, and there the results are looked for. So the module runs there.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wfn.runs.tracking.launched import RUN_ID

if TYPE_CHECKING:
    import psutil


def folder_of_caller(process: "psutil.Process | None" = None) -> Path:
    """The folder that ``mlflow run`` was called from, told by the processes above ``process`` (by default this one).

    Between this process and MLflow are shells, in the project's folder as this one. MLflow's own is the first that is
    elsewhere, or that lacks the run's id in its environment. (The variables ``PWD`` and ``OLDPWD`` say something else:
    the shells between set them anew.)

    Returns:
        This process's folder where MLflow has not started it, or the machine does not tell.
    """
    here, run = Path.cwd(), os.environ.get(RUN_ID)
    if not run:
        return here
    import psutil

    try:
        for above in (process or psutil.Process()).parents():
            folder = Path(above.cwd())
            if folder != here or above.environ().get(RUN_ID) != run:
                return folder if folder.is_dir() else here
    except psutil.Error:  # another user's, or gone by now
        pass
    return here


def main() -> None:
    """Run the module that the first argument names, as ``python -m`` does, where MLflow was called."""
    del sys.argv[0]
    folder = folder_of_caller()
    if folder != Path.cwd():
        print(f"paths are those of {folder}", flush=True)
    os.chdir(folder)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
