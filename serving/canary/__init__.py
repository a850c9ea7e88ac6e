"""Is the canary worse than its champion, and what follows from it? Nothing here knows of Ray, HTTP or a database."""
