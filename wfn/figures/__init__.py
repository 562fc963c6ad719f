"""Figures, each drawn once, from plain rows; runs, studies and reports convert what they have to those rows."""
