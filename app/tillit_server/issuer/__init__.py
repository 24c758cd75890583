"""What our server decides: who may ask, for what, on what basis, and what the token says.

It owns the endpoints as visible lists of steps, the client and API registries and the file-backed
registers. It leaves HTTP to ``web``, keys to ``signing``, memory to ``storage`` and the wire formats
and the rules to the library.
"""
