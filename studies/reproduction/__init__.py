"""All runs that the report needs on one network: which they are, how long they take, and carrying them out."""
