"""Hypothesis strategies for JSON values with awkward names, and how often a property is tried."""

from hypothesis import settings
from hypothesis import strategies as st

COUNT = settings(max_examples=150, deadline=None)

names = st.sampled_from(["a", "b", "alg", "å", "", ":", '"', "\\", "{", "a\\", 'x":1']) | st.text(max_size=4)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | names
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
