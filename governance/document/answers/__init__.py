"""Answers that several forms ask for: functions from `Held` to facts and tables, or to nothing."""
