"""A network evaluated, alone and beside another: scores of its task, predictions paired image by image, calibration."""
