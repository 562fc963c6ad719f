"""Files of trained weights as people have them: what they hold, and whose names they are."""
