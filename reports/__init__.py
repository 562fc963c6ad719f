"""The report: runs in, a paper-style document out, with the paper's printed numbers beside ours.

It trains nothing; released saves that it is given by path it measures, by runs like any other.
"""
