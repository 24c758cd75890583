"""What must be remembered: four shapes and one settlement.

This room owns the promises of `ports` and the embedded backend in `sqlite`. It does not know what a token or
an audit event is: it stores what it is given, sealed, and decides races. Other rooms import from `ports`
only; the backends are named in `wiring`.
"""
