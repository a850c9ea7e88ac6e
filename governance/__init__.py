"""May it go out, and can we prove it later?"""
