"""The compressed file: a fixed network as one file, which gives back every tensor bit for bit but for signs of zeros.

A counted weight of -0.0 comes back as 0.0: they are one value, and the network computes the same.

Four sections stand in a container (:mod:`wfn.compressed_file.container`) with a version and a checksum:

- header: names and shapes of the counted weights, which other names share them, what the file is about (JSON, zlib);
- codebook: every distinct value as a signed sum of powers of two, and how often it occurs (zlib);
- coded weights: which value each weight has, by an asymmetric numeral system under the best of four models, one of
  exactly those frequencies and three that adapt (:mod:`wfn.compressed_file.coding`);
- other tensors: running statistics, buffers and parameters that are not counted (safetensors, zlib).

Reading trusts nothing: a right checksum does not make a file honest. Sizes are bounded before memory is taken, and
nothing in a file is ever executed.
"""

from wfn.compressed_file.codebook_section import MOST_VALUES
from wfn.compressed_file.container import VERSION
from wfn.compressed_file.contents import Contents, describe, inspect
from wfn.compressed_file.reading import load
from wfn.compressed_file.writing import pack, recoded, save

__all__ = ["MOST_VALUES", "VERSION", "Contents", "describe", "inspect", "load", "pack", "recoded", "save"]
