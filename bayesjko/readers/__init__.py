"""Files and objects to snapshots, and snapshots to files."""

from bayesjko.readers.formats import FORMATS, read_snapshots
from bayesjko.readers.writer import WRITERS, write_snapshots

__all__ = ["FORMATS", "WRITERS", "read_snapshots", "write_snapshots"]
