"""One script a trainer, each run in a process of its own: `python TRAINER.py ORDER.json`, one JSON line last.

The order names base, rows, out folder and settings that are the same for all. What a script prints: `step_ends`, the
monotonic times at which optimizer steps ended, the first entry being the start of the first step.
"""
