"""What a report is made from beside folders of runs: records in one small file, peers' tables, released saves."""
