"""Where a request may go when somebody else has named the address."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillit.outbound.addresses import LOOPBACK, MAY_BE_LISTED, Reach, read_networks

ANYWHERE = Reach()
AT_HOME = Reach(plain_loopback=True)
V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address)

INWARDS = (
    *(
        "0.0.0.1",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.31.255.255",
    ),
    *(
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.9",
    ),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *(
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
    ),
    *(
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::1",
        "2001:20::1",
        "2001:db8::1",
    ),
    *(
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%1",
    ),
    *("fec0::1", "ff02::1", "not an address", ""),
)


@pytest.mark.parametrize("address", INWARDS)
def test_k6_an_address_that_is_not_public(address: str):
    """Nothing private, local, shared, reserved, mapped or translated is asked."""
    assert not ANYWHERE.admits(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "193.69.0.1", "2001:4860:4860::8888", "2a02:c0::1"]
)
def test_a_public_address(address: str):
    """What everybody can reach may be asked."""
    assert ANYWHERE.admits(address)


@given(st.one_of(V4, V6))
def test_k6_no_address_is_public_that_the_standard_library_calls_otherwise(
    address: IPv4Address | IPv6Address,
):
    """Whatever the library calls private, local, reserved or for many is refused here too."""
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not ANYWHERE.admits(str(address))
    if address.is_reserved or address.is_unspecified:
        assert not ANYWHERE.admits(str(address))


@given(V4)
def test_k6_no_address_of_the_old_world_is_reached_by_the_new(address: IPv4Address):
    """No form of IPv6 that stands for an IPv4 address is asked, whatever the address and the networks listed."""
    number, listed = int(address), Reach(MAY_BE_LISTED, plain_loopback=True)
    for form in ("::ffff:0:0", "::", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"):
        carried = IPv6Address(int(IPv6Address(form)) + number)
        assert int(carried) == 1 or not listed.admits(str(carried))
    assert not listed.admits(str(IPv6Address(int(IPv6Address("2002::")) + (number << 80))))


@given(st.sampled_from(MAY_BE_LISTED), st.data())
def test_a_network_that_is_listed(network, data):
    """What a listed network holds may be asked, and nothing private beside it."""
    first, last = int(network.network_address), int(network.broadcast_address)
    address = ip_address(data.draw(st.integers(first, last)))
    own = ip_network((int(address), address.max_prefixlen))

    assert Reach((own,)).admits(str(address))
    assert not ANYWHERE.admits(str(address))
    for other in {first, last} - {int(address)}:
        assert not Reach((own,)).admits(str(ip_address(other)))


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.0/24",
        "0.0.0.0/0",
        "::/0",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "fe80::/10",
        "10.0.0.0/7",
    ],
)
def test_k6_a_network_that_is_not_listed(text: str):
    """Loopback, the metadata of a cloud and the whole world cannot be listed by a slip of the pen."""
    with pytest.raises(ValueError, match="not within a private network"):
        read_networks([text])


@pytest.mark.parametrize("text", ["10.0.0.1/8", "ten", "", "10.0.0.0/33"])
def test_what_is_no_network(text: str):
    """A network with bits beyond its mask, or none at all, is refused with an example."""
    with pytest.raises(ValueError, match="not a network such as"):
        read_networks([text])


def test_loopback_only_in_development():
    """Loopback may be asked where the service itself runs on it, and then by http too."""
    for network in LOOPBACK:
        assert AT_HOME.admits(str(network[0]))
        assert not ANYWHERE.admits(str(network[0]))
    assert AT_HOME.fault_of("http://127.0.0.1:8080/jwks") is None
    assert AT_HOME.fault_of("http://[::1]/jwks") is None
    assert AT_HOME.fault_of("http://localhost/jwks") is None
    assert AT_HOME.fault_of("http://keys.example/jwks") == "https needed, or http on loopback"
    assert ANYWHERE.fault_of("http://127.0.0.1:8080/jwks") == "https needed"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "data:application/json,{}",
            "gopher://keys.example/",
            "ftp://keys.example/",
            "//x",
        ),
        *(
            "http://keys.example/jwks",
            "https://",
            "https:///jwks",
            "https://keys.example:0/",
            "https://a:99999/",
        ),
        *(
            "https://user@keys.example/",
            "https://user:pw@keys.example/",
            "https://keys.example/#part",
            "jwks",
        ),
        *(
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://127.1/",
        ),
        *(
            "https://keys.example./",
            "https://.example/",
            "https://a..b/",
            "https://-a.example/",
            "https://a_b/",
        ),
        *("https://Keys.example/", "https://kéys.example/", "https://keys.example\\@evil/", "https://a b/"),
        *(
            "https://keys.example/\n",
            "https://%6b.example/",
            "https://[::1",
            "https://[::1%25eth0]]/",
            "",
            None,
            7,
        ),
        "https://keys.example/" + "x" * 2048,
    ],
)
def test_k6_an_address_that_no_client_can_have(url: object):
    """Other schemes, other spellings of addresses, and what two programs could read differently."""
    fault = AT_HOME.fault_of(url)

    assert fault
    assert "pw" not in fault
    assert fault.isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "https://keys.example/jwks?v=1",
        "https://keys.example:8443",
        "https://8.8.8.8/",
        "https://[2a02:c0::1]/",
    ],
)
def test_an_address_that_a_client_can_have(url: str):
    """A name in lower case, or an address in its usual form, by https."""
    assert ANYWHERE.fault_of(url) is None


@given(st.text())
def test_k6_any_text_is_judged(text: str):
    """No text makes the judge of addresses or of URLs fail."""
    ANYWHERE.admits(text)
    AT_HOME.fault_of(text)
    AT_HOME.fault_of(f"https://{text}")
