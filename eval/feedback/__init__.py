"""What people said about answers: recorded as they said it, how far they agree, and what follows from it."""
