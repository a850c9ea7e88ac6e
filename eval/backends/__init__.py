"""Engines that score: one file each, named in `eval.backend`."""
