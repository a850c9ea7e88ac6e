"""What can be said about an adapter, and how surely? The same items for base, champion and candidate, paired."""
