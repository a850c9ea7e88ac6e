"""What goes with an export for people who have nothing of ours: a check with public tools alone."""
