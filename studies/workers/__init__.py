"""The processes that carry a study out."""
