"""Kinds of checks, one file each; the kind's name in a policy is the file's name with dashes."""
