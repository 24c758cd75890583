"""WHAT IS PRACTISED: a drill of key changes, on an installation that is made for it and removed after it.

It owns the scratch installation with its moving clock, the load, the verifiers that are not ours, the course
of a drill and its report. It drives running processes from outside; only ``operating`` opens the house.
"""
