"""Public bias suites scored from files of answers: one file a suite, named as `tunegate evaluate --suite` calls it."""
