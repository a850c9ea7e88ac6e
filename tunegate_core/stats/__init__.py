"""Bounds and tests as pure functions of sufficient statistics."""
