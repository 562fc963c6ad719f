"""The paper's claims, the rules that judge them, and what else was found."""
