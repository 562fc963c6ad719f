"""What the machine gives: files, float32 bits, processes, ranks, precision, provenance."""
