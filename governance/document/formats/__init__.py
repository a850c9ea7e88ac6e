"""Ways to write a document down, one file each, named like the format."""
