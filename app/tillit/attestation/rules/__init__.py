"""The rules, one function each, in the order of the trust framework's chapters.

Every rule takes a `Case` and gives its findings. None of them decides who is judged by it or in which order:
that stands in the rulebook.
"""
