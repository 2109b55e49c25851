import ipaddress
import socket

import pytest

from infra.webhooks.targets import Forbidden, Target, is_public, resolved, target

HOSTS = ("shop.example.com", "shop.example.com:8443")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example.com", Target("shop.example.com", 443, "/")),
        ("https://shop.example.com:443/a", Target("shop.example.com", 443, "/a")),
        ("https://SHOP.example.com/a?b=c&d", Target("shop.example.com", 443, "/a?b=c&d")),
        ("https://shop.example.com:8443/%C3%A4", Target("shop.example.com", 8443, "/%C3%A4")),
    ],
)
def test_an_address_of_a_host_that_is_named_is_taken_apart(url, expected):
    assert target(url, HOSTS) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example.com",
        "//shop.example.com/",
        "http://shop.example.com/",
        "ftp://shop.example.com/",
        "https:///path",
        "https://example.com/",
        "https://evil.shop.example.com/",
        "https://shop.example.com.evil.com/",
        "https://shop.example.com./",
        "https://shop.example.com:8080/",
        "https://shop.example.com:0/",
        "https://shop.example.com:70000/",
        "https://user:password@shop.example.com/",
        "https://shop.example.com@evil.com/",
        "https://@shop.example.com/",
        "https://evil.com\\@shop.example.com/",
        "https://shop.example.com/#part",
        "https://shop.example.com/a b",
        "https://shop.example.com/a\r\nX-Evil: 1",
        "https://shop.example.com/\tа",
        "https://ѕhop.example.com/",
        "https://shop%2eexample.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::1/",
        "https://2130706433/",
        "https://0x7f.1/",
    ],
)
def test_any_other_address_is_forbidden(url):
    with pytest.raises(Forbidden):
        target(url, HOSTS)


def test_where_no_host_is_named_every_address_is_forbidden_in_clear_words():
    with pytest.raises(Forbidden, match="left out: this server allows no host"):
        target("https://shop.example.com/", ())


@pytest.mark.parametrize(
    "text", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
)
def test_addresses_of_the_internet_are_public(text):
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",  # noqa: S104 - not bound to
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",  # where clouds keep credentials
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
    ],
)
def test_all_others_are_not(text):
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "::1", "localhost"]
)
def test_a_name_that_leads_into_this_machine_is_forbidden_however_it_is_written(host):
    with pytest.raises(Forbidden, match="not public"):
        resolved(Target(host, 443, "/"), is_public)


def test_one_address_that_is_not_public_forbids_them_all(monkeypatch):
    def answers(host, port, **_):
        return [(0, 0, 0, "", (each, port)) for each in ("8.8.8.8", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    with pytest.raises(Forbidden, match=r"10\.0\.0\.1"):
        resolved(Target("shop.example.com", 443, "/"), is_public)
