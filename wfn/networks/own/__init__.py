"""Networks as people have them, made into ones whose parameters are what they compute with."""
