"""Verifying, with bytes in and a checked object or an error out: nothing here signs, stores or asks anybody."""
