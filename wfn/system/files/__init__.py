"""Files: written whole or not at all, locked between processes, and tables as CSV."""

from wfn.system.files.csv_tables import csv_lines, csv_table
from wfn.system.files.whole import (
    append_durably,
    held,
    in_home,
    is_partial,
    partial_of,
    sync_folder,
    user_cache,
    write_atomically,
    write_folder,
)

__all__ = [
    "append_durably",
    "csv_lines",
    "csv_table",
    "held",
    "in_home",
    "is_partial",
    "partial_of",
    "sync_folder",
    "user_cache",
    "write_atomically",
    "write_folder",
]
