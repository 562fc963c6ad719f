"""The plan of a study, and the queue of its trials in a storage."""
