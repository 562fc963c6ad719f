"""Algorithm 1: which values the free weights are fixed to, and in which order."""
