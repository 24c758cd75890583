"""C5: an assertion lives at most 60 seconds, and its times fit the server's clock to the second."""

from typing import Any

import pytest

from support.backstage import Timeline
from support.ehr import Answer
from support.intakes import ASSERTION, AUTHENTICATING, INVALID_CLIENT, accepted, present

pytestmark = pytest.mark.xdist_group("timeline")

# Seconds from the server's clock.
REFUSED: dict[str, dict[str, Any]] = {
    "exp missing": {"exp": ...},
    "exp five minutes past": {"iat": -330, "nbf": -330, "exp": -300},
    "exp six seconds past": {"iat": -60, "nbf": -60, "exp": -6},
    "lives 61 s": {"exp": 61},
    "lives ten years": {"exp": 315_360_000},
    "iat missing": {"iat": ...},
    "iat 11 s ahead": {"iat": 11, "nbf": 0, "exp": 60},
    "nbf 11 s ahead": {"nbf": 11},
    "iat 61 s ahead": {"iat": 61, "nbf": 0, "exp": 62},
    "nbf 61 s ahead": {"nbf": 61, "exp": 60},
    "both 61 s ahead": {"iat": 61, "nbf": 61, "exp": 121},
    "exp before iat": {"iat": 5, "exp": 4},
    "iat an hour back": {"iat": -3600, "nbf": -3600, "exp": 30},
}
ACCEPTED: dict[str, dict[str, Any]] = {
    "iat 8 s ahead": {"iat": 8, "nbf": 8, "exp": 68},
    "iat 10 s ahead": {"iat": 10, "nbf": 10, "exp": 70},
    "nbf missing": {"nbf": ...},
    "lives 60 s": {"exp": 60},
    "lives 1 s": {"exp": 1},
    "exp five seconds past": {"iat": -65, "nbf": -65, "exp": -5},
    "at its last second": {"iat": -60, "nbf": -60, "exp": 0},
    "nbf long past": {"nbf": -3600},
}


def sent(timeline: Timeline, offsets: dict[str, Any], start: float, intake: str = ASSERTION) -> Answer:
    times = {name: value if value is ... else int(start) + value for name, value in offsets.items()}
    return present(timeline.ehr, intake, timeline.ehr.assertion(**times))


@pytest.mark.parametrize("intake", AUTHENTICATING)
@pytest.mark.parametrize("case", REFUSED)
def test_c5_times_out_of_bounds_are_refused(case: str, intake: str, timeline: Timeline):
    """One second beyond each bound, and everything further out, is refused."""
    assert sent(timeline, REFUSED[case], timeline.moment(), intake).body == INVALID_CLIENT


@pytest.mark.parametrize("intake", AUTHENTICATING)
@pytest.mark.parametrize("case", ACCEPTED)
def test_c5_times_within_bounds_are_accepted(case: str, intake: str, timeline: Timeline):
    """The last second within each bound is accepted."""
    assert accepted(sent(timeline, ACCEPTED[case], timeline.moment(), intake))


def test_c5_the_reason_and_the_difference_of_the_clocks_are_in_the_log(timeline: Timeline):
    """The answer tells nothing, but the log says that the other clock runs 61 seconds ahead."""
    start = timeline.moment()
    answer = sent(timeline, REFUSED["both 61 s ahead"], start)
    line = next(line for line in timeline.service.log().splitlines() if answer.headers["Error-Id"] in line)
    assert '"clock_difference":61.0' in line
    assert "payload." in line


@pytest.mark.parametrize(("lifetime", "status"), [(61, 200), (120, 200), (121, 401)])
def test_c5_the_legacy_profile_tolerates_two_minutes(lifetime: int, status: int, timeline: Timeline):
    """What the oldest clients send lives up to 120 seconds; the audit names the tolerance."""
    ehr = timeline.backstage.client(profile="legacy")
    start = int(timeline.moment())
    answer = present(ehr, ASSERTION, ehr.assertion(exp=start + lifetime))
    assert answer.status == status
    used = timeline.backstage.entries("issuer.tolerance.used", client_id=ehr.client_id)
    assert [entry.public["tolerances"] for entry in used] == ([["long_lifetime"]] if status == 200 else [])


@pytest.mark.parametrize(("profile", "status"), [("fapi2", 401), ("helseid", 200), ("legacy", 200)])
def test_c5_an_iat_in_a_string_is_tolerated_by_name_only(profile: str, status: int, timeline: Timeline):
    """`iat` as digits in a string is refused in the strict profile, tolerated and written down in the others."""
    ehr = timeline.backstage.client(profile=profile)
    start = int(timeline.moment())
    assert present(ehr, ASSERTION, ehr.assertion(iat=str(start))).status == status
    used = timeline.backstage.entries("issuer.tolerance.used", client_id=ehr.client_id)
    assert [entry.public["tolerances"] for entry in used] == ([["string_iat"]] if status == 200 else [])
    assert present(ehr, ASSERTION, ehr.assertion(iat=f" {start}")).status == 401
