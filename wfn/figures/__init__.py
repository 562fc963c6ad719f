"""Figures, each drawn once, from plain rows."""
