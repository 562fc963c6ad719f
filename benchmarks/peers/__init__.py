"""Other coders and quantisers on the same network, each in an environment of its own; see README.md."""
