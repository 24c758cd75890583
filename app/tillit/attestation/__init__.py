"""What the trust framework says: the attestation, its wire forms, its rules, its registers and code lists.

Pure: knows neither OAuth nor HTTP, reads no file but the code lists shipped with it, and no clock. The same
modules serve the consumer that attests, the trust anchor that vouches and the document source that relies.

Start at `rulebook`: the table of rules and `judge`. `wire` reads and writes JSON, `enrichment` completes an
accepted attestation for a token.
"""
