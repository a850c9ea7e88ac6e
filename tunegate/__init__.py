"""What happens in which order, and what does a person see?"""
