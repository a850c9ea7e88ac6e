"""How does a config become an adapter?"""
