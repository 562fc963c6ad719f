"""The report: runs in, a paper-style document out, with the paper's printed numbers beside ours.

It trains nothing; released saves that it is given by path it measures, by runs like any other.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))  # as wfn does: no file of the current folder hides an installed package
