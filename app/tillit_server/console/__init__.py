"""The back office: what operators and their machines see, on an address of its own, never the public one.

For now health and metrics. It stands on the floor of ``web`` and does not know it: it may read what the
issuer knows, it judges nothing, and no proxy line that opens the public port opens it too. Plain WSGI: three
URLs need no framework, and whoever serves them is the supervisor, which should stay small.
"""
