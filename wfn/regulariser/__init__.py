"""Eq. 4: the pull of the free weights towards the centres."""
