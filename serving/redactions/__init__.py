"""Ways to take out of a text what must not be kept: one file each, named in `records.redaction`."""
