"""The report: runs in, a paper-style document out, with the paper's printed numbers beside ours. It never trains."""
