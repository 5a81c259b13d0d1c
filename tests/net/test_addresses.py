import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.net.addresses import AddressPolicy, is_public, without_addresses

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "192.167.255.255",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2002:101:101::1",
]
NOT_PUBLIC = {
    "loopback": ["127.0.0.1", "127.255.255.255", "127.0.1.1", "::1"],
    "this host": ["0.0.0.0", "0.1.2.3", "::"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fd12::1"],
    "link-local": ["169.254.0.1", "fe80::1", "febf::1", "fe80::1%eth0"],
    "metadata of a cloud": ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192"],
    "shared by carriers": ["100.64.0.1", "100.127.255.255"],
    "site-local": ["fec0::1", "feff::1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "::ffff:0:127.0.0.1"],
    "for documents": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"],
    "for benchmarks": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::ffff:10.0.0.1"],
    "compatible": ["::127.0.0.1", "::7f00:1", "::10.0.0.1", "::169.254.169.254"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe"],
    "NAT64 of a network's own": ["64:ff9b:1::7f00:1", "64:ff9b:1:7f00:0:100::"],
    "6to4": ["2002:7f00:1::", "2002:7f00:1::1", "2002:a9fe:a9fe::", "2002:a00:1::", "2002::"],
    "Teredo": ["2001::1", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe"],
    "discarded": ["100::1"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address: str) -> None:
    assert AddressPolicy().allows(address)


@pytest.mark.parametrize("address", [address for group in NOT_PUBLIC.values() for address in group])
def test_an_address_that_is_not_public_may_not_be_called(address: str) -> None:
    assert not AddressPolicy().allows(address)


v4 = st.ip_addresses(v=4) | st.sampled_from(
    [ipaddress.IPv4Address(a) for a in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0")]
)
CARRIERS = ("::ffff:0:0", "::", "64:ff9b::")


@given(inner=v4, carrier=st.sampled_from(CARRIERS))
def test_an_address_inside_another_is_judged_by_the_inner_one(
    inner: ipaddress.IPv4Address, carrier: str
) -> None:
    outer = ipaddress.IPv6Address(int(ipaddress.IPv6Address(carrier)) | int(inner))
    assert is_public(outer) == is_public(inner)


@given(inner=v4, rest=st.integers(0, 2**80 - 1))
def test_a_6to4_address_is_judged_by_the_inner_one(inner: ipaddress.IPv4Address, rest: int) -> None:
    outer = ipaddress.IPv6Address((0x2002 << 112) | (int(inner) << 80) | rest)
    assert is_public(outer) == is_public(inner)


@given(ip=v4)
def test_no_ipv4_address_of_a_special_use_is_public(ip: ipaddress.IPv4Address) -> None:
    special = ip.is_private or ip.is_multicast or ip.is_reserved
    assert not (special and is_public(ip))


@pytest.mark.parametrize(
    ("listed", "address", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.0/8", "127.9.9.9", True),
        ("127.0.0.1/8", "127.9.9.9", True),
        ("127.0.0.0/8", "128.0.0.1", True),
        ("127.0.0.0/8", "10.0.0.1", False),
        ("127.0.0.0/8", "::1", False),
        ("10.0.0.0/8", "127.0.0.1", False),
        ("::1", "::1", True),
        ("::1", "127.0.0.1", False),
        ("fd00::/8", "fd12::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("localhost", "127.0.0.1", False),
    ],
)
def test_a_private_address_may_be_called_if_it_or_its_network_is_listed(
    listed: str, address: str, *, allowed: bool
) -> None:
    assert AddressPolicy([listed]).allows(address) is allowed


def test_a_list_takes_nothing_from_the_public_addresses() -> None:
    policy = AddressPolicy(["127.0.0.0/8", "fd00::/8", "vllm.internal"])
    assert policy.allows("1.1.1.1")
    assert policy.allows("2606:4700:4700::1111")
    assert not policy.allows("10.0.0.1")


def test_a_host_is_listed_by_its_whole_name_in_any_case() -> None:
    policy = AddressPolicy(["vLLM.internal", "localhost"])
    assert policy.allows_name("vllm.internal")
    assert policy.allows_name("VLLM.INTERNAL")
    assert policy.allows_name("localhost")
    for other in ("internal", "a.vllm.internal", "vllm.internal.evil.example", "localhost2", ""):
        assert not policy.allows_name(other)


def test_a_listed_address_is_no_name() -> None:
    # A name is allowed wherever it leads; an address is held against where it leads.
    assert not AddressPolicy(["127.0.0.1", "10.0.0.0/8"]).allows_name("127.0.0.1")


def test_nothing_is_listed_unless_it_is() -> None:
    assert not AddressPolicy().allows_name("localhost")
    assert not AddressPolicy([]).allows("127.0.0.1")


AROUND = [
    *("{}", "{}: refused", "{}.", "http://{}/v1: refused", "('{}', 80, 0, 0)", "[{}]:80"),
    *("it is {}, or {}", "set HOSTS={}", "{}/32", "leads to {}, which is not public"),
]


@given(st.ip_addresses(), st.sampled_from(AROUND))
def test_a_text_loses_its_addresses(address: ipaddress.IPv4Address, around: str) -> None:
    hidden = around.format("[address]", "[address]")
    assert without_addresses(around.format(address, address)) == hidden


@pytest.mark.parametrize("address", ["fe80::1%eth0", "::ffff:10.0.0.1", "FD00::1", "::", "0::"])
@pytest.mark.parametrize("around", AROUND)
def test_so_it_does_in_other_spellings(address: str, around: str) -> None:
    assert address not in without_addresses(around.format(address, address))


@pytest.mark.parametrize(
    "text",
    [
        *("", "at 12:30:45, after 3 tries", "std::vector", "https://example.com:8000/v1: refused"),
        *("version 3.11.7", "1.2.3.4.5", "abc:def", "deadbeef", "a:b:c", "..."),
    ],
)
def test_a_text_without_addresses_stays_as_it_is(text: str) -> None:
    assert without_addresses(text) == text
