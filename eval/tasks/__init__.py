"""Where the items of a benchmark come from: one file per kind, named as its key in the config's `eval.tasks`."""
