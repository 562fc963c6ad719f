"""Figures of noise in weights, and of what a network's confidence is worth."""
