"""What can be said about an adapter, and how surely?"""
