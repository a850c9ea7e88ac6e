"""What an answer in words is worth: one file a scorer, named as the metric in the config."""
