"""The front door: HTTP in, plain values to the issuer, HTTP out.

It owns the URLs, the one parsing of a request and the writing of answers. It decides nothing: a view
translates, calls one function of ``issuer``, and translates back.
"""
