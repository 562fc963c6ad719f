"""Records of runs in one small file, from which the same report can be written where the runs' folders are not."""
