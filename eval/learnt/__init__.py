"""Probes that are made of the training rows: one file a kind, named as under `probes` in the config's `eval.tasks`."""
