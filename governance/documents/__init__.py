"""Kinds of documents, one file each; the kind's name is the file's name with dashes."""
