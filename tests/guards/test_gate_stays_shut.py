"""Too little is never a pass: no check, no evidence, nothing measured."""
