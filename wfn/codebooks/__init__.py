"""Which values weights may take."""
