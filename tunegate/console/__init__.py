"""The console: the pages on which people review, decide and look things up. Rules stay in the rooms.

A page is one function and one template: `Page(path, handler, right)` says who may open it, `app.PAGES` lists them all,
and everything else (login, roles, forgery, limits, what was denied) is done once, before the function is called.
"""
