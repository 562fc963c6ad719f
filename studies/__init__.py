"""Studies: many runs that answer one question, on as many workers as you like, and resumable."""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))  # as wfn does: no file of the current folder hides an installed package
