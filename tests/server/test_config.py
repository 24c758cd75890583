"""Settings: one name in three places, every fault at once, and what development and production may not be."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tillit_server.config import ENVIRONMENT_PREFIX, SHIPPED_CONFIG, Settings, SettingsError, load_settings

PRODUCTION: dict[str, Any] = {
    "issuer": "https://tillit.example.no/helse",
    "data": "/var/lib/tillit",
    "keys": "/etc/tillit/keys",
    "passphrase_file": "/run/tillit/passphrase",
    "pkcs11_pin_file": "/run/tillit/pin",
    "storage_url": "postgresql://database/tillit",
    "storage_shared_url": "embedded",
    "trusted_proxies": ["192.0.2.1"],
}
# One value for each setting, as the environment spells it and as the file and the code have it.
VALUES: dict[str, tuple[str, Any, Any]] = {
    "issuer": ("https://other.example.no", "https://other.example.no", "https://other.example.no"),
    "data": ("/srv/tillit", "/srv/tillit", Path("/srv/tillit")),
    "dev": ("false", False, False),
    "host": ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
    "port": ("8443", 8443, 8443),
    "workers": ("3", 3, 3),
    "threads": ("5", 5, 5),
    "management_host": ("192.0.2.8", "192.0.2.8", "192.0.2.8"),
    "management_port": ("9090", 9090, 9090),
    "drain": ("1.5", 1.5, 1.5),
    "config": (str(SHIPPED_CONFIG), str(SHIPPED_CONFIG), SHIPPED_CONFIG),
    "keys": ("/srv/keys", "/srv/keys", Path("/srv/keys")),
    "passphrase_file": ("/srv/passphrase", "/srv/passphrase", Path("/srv/passphrase")),
    "custody": ("software", "software", "software"),
    "pkcs11_module": ("/srv/module.so", "/srv/module.so", Path("/srv/module.so")),
    "pkcs11_label": ("signing", "signing", "signing"),
    "pkcs11_pin_file": ("/srv/pin", "/srv/pin", Path("/srv/pin")),
    "pkcs11_sessions": ("2", 2, 2),
    "clock": ("/srv/clock", "/srv/clock", Path("/srv/clock")),
    "algorithms": ("ES256, PS256", ["ES256", "PS256"], ("ES256", "PS256")),
    "nonce_required": ("no", False, False),
    "nonce_slot": ("60", 60, 60),
    "synthetic_identifiers": ("yes", True, True),
    "jwks_max_age": ("300", 300, 300),
    "explain_per_minute": ("7", 7, 7),
    "client_limits": (
        "token=5/minute, par=1/second",
        ["token=5/minute", "par=1/second"],
        ("token=5/minute", "par=1/second"),
    ),
    "address_limits": ("token=5/minute", ["token=5/minute"], ("token=5/minute",)),
    "trusted_proxies": (
        "192.0.2.0/24 2001:db8::1",
        ["192.0.2.0/24", "2001:db8::1"],
        ("192.0.2.0/24", "2001:db8::1"),
    ),
    "request_uri_lifetime": ("60", 60, 60),
    "interaction_lifetime": ("600", 600, 600),
    "code_lifetime": ("30", 30, 30),
    "session_lifetime": ("600", 600, 600),
    "id_token_lifetime": ("120", 120, 120),
    "refresh_lifetime": ("3600", 3600, 3600),
    "client_key_lifetime": ("8640000", 8_640_000, 8_640_000),
    "client_key_overlap": ("86400", 86_400, 86_400),
    "storage_url": ("postgresql://db/tillit",) * 3,
    "storage_shared_url": ("redis://shared/0",) * 3,
    "storage_connections": ("7", 7, 7),
    "storage_timeout": ("0.5", 0.5, 0.5),
    "traces_url": ("http://collector:4318/v1/traces",) * 3,
    "traces_sampled": ("0.5", 0.5, 0.5),
    "traces_from_proxy": ("true", True, True),
    "client_key_networks": ("10.1.0.0/16 fd00::/8", ["10.1.0.0/16", "fd00::/8"], ("10.1.0.0/16", "fd00::/8")),
}


def toml(value: Any) -> str:
    """A value as a settings file spells it."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).replace("'", '"')


def settings_file(home: Path, **values: Any) -> Path:
    """Write a settings file."""
    file = home / "tillit.toml"
    file.write_text("".join(f"{name} = {toml(value)}\n" for name, value in values.items()), encoding="utf-8")
    return file


def faults(**flags: Any) -> tuple[str, ...]:
    """What is wrong with settings that were given as flags."""
    with pytest.raises(SettingsError) as refused:
        load_settings(flags=flags)
    assert all(fault.isprintable() and fault for fault in refused.value.faults)
    return refused.value.faults


def test_every_setting_is_tried_here():
    """The table of this file names every setting there is."""
    assert VALUES.keys() == {member.name for member in dataclasses.fields(Settings)}


@pytest.mark.parametrize("name", [name for name in VALUES if name != "clock"])
def test_a_name_means_the_same_in_all_three_places(name: str, tmp_path: Path):
    """File, environment and flag give the same setting for every name."""
    spelled, written, meant = VALUES[name]
    rest = {key: value for key, value in PRODUCTION.items() if key != name}
    from_file = load_settings(file=settings_file(tmp_path, **{name: written}), flags=rest)
    from_environment = load_settings(environment={ENVIRONMENT_PREFIX + name.upper(): spelled}, flags=rest)
    from_flag = load_settings(flags={**rest, name: written})
    assert from_file == from_environment == from_flag
    assert getattr(from_file, name) == meant


def test_the_nearest_place_wins(tmp_path: Path):
    """A flag stands before the environment, the environment before the file, and None is no flag."""
    file = settings_file(tmp_path, **PRODUCTION, workers=2, threads=2, port=2)
    environment = {"TILLIT_WORKERS": "3", "TILLIT_THREADS": "3", "PATH": "/bin"}
    settings = load_settings(file=file, environment=environment, flags={"workers": 4, "port": None})
    assert (settings.workers, settings.threads, settings.port) == (4, 3, 2)


def test_every_fault_is_told_at_once(tmp_path: Path):
    """Unknown names, wrong kinds and missing names of all three places come in one list."""
    file = settings_file(tmp_path, isuer="x", port="many")
    with pytest.raises(SettingsError) as refused:
        load_settings(file=file, environment={"TILLIT_WORKRS": "1", "TILLIT_DEV": "maybe"}, flags={"host": 5})
    assert set(refused.value.faults) == {
        "isuer: unknown setting",
        "workrs: unknown setting",
        "port: a whole number needed",
        "dev: true or false needed",
        "host: a text needed",
        "issuer: needed",
        "data: needed",
    }
    assert str(refused.value) == "; ".join(refused.value.faults)


def test_a_token_needs_its_module_and_its_pin():
    """Keys in a token without a module, a module without a PIN, and a custody nobody knows are refused."""
    bare = {name: value for name, value in PRODUCTION.items() if not name.startswith("pkcs11_")}
    assert faults(**bare, custody="pkcs11") == ("pkcs11_module: needed where keys are kept in a token",)
    assert faults(**bare, pkcs11_module="/m.so") == ("pkcs11_pin_file: needed (opens the token)",)
    assert faults(**bare, custody="hsm") == ("custody: software or pkcs11 needed",)


def test_what_contradicts_itself_is_told_at_once_too():
    """Faults between settings come in one list as well."""
    found = faults(
        **{**PRODUCTION, "issuer": "http://a.example/?x#y/", "keys": None}, workers=0, clock="/c", port=0
    )
    assert set(found) == {
        "issuer: https needed (ATT-3; http only in development mode on loopback)",
        "issuer: no query, fragment or user info (RFC 8414 §2)",
        "issuer: without a final slash",
        "workers: 1 to 64 needed",
        "port: 1 to 65535 needed",
        "clock: a clock file belongs to development mode",
        "keys: needed (the directory of the master key)",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 1.9),
        ("workers", True),
        ("workers", "two"),
        ("workers", "1.5"),
        ("port", [8080]),
        ("storage_timeout", True),
        ("storage_timeout", "soon"),
        ("data", 5),
        ("data", ""),
        ("data", "a\0b"),
        ("algorithms", 5),
        ("algorithms", [5]),
        ("dev", 2),
        ("issuer", 5),
    ],
)
def test_a_value_of_another_kind_is_not_bent_into_shape(name: str, value: Any):
    """Nothing is cut, rounded or guessed: 1.9 is no number of workers, true is no 1, 5 is no path."""
    (fault,) = faults(**{**PRODUCTION, name: value})
    assert fault.startswith(f"{name}: ")
    assert fault.endswith(" needed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 65),
        ("threads", 0),
        ("port", 65_536),
        ("port", -1),
        ("nonce_slot", 0),
        ("jwks_max_age", 86_401),
        ("explain_per_minute", -1),
        ("request_uri_lifetime", 600),
        ("request_uri_lifetime", 4),
        ("code_lifetime", 61),
        ("session_lifetime", 0),
        ("client_key_lifetime", 63_072_001),
        ("client_key_overlap", 31_536_000),
        ("storage_timeout", 0),
        ("storage_timeout", float("nan")),
        ("storage_timeout", float("inf")),
        ("algorithms", []),
        ("algorithms", ["ES256", "HS256"]),
        ("algorithms", ["none"]),
        ("host", "localhost"),
        ("host", "tillit.example.no"),
        ("config", "/nowhere"),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: Any):
    """Each setting has a range, and what lies outside is named."""
    (fault,) = faults(**{**PRODUCTION, name: value})
    assert fault.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "issuer",
    [
        "http://tillit.example.no",
        "https://tillit.example.no/",
        "https://tillit.example.no/a/",
        "https://tillit.example.no?x",
        "https://tillit.example.no/#",
        "https://user@tillit.example.no",
        "https://",
        "https://[::1",
        "https://a.example:port",
        "ftp://tillit.example.no",
        "tillit.example.no",
        "https://tillit.example.no/a b",
        "https://tillit.example.no\r\nX: y",
        "https://blåbær.example.no",
        "",
    ],
)
def test_an_issuer_is_an_https_url_and_nothing_else(issuer: str):
    """Production takes no issuer but an https URL without query, fragment, user or final slash, in ASCII."""
    assert all(fault.startswith("issuer: ") for fault in faults(**{**PRODUCTION, "issuer": issuer}))


@pytest.mark.parametrize("name", ["issuer", "keys", "passphrase_file"])
def test_production_is_not_guessed_at(name: str):
    """Production needs its issuer, its keys and their passphrase to be named."""
    (fault,) = faults(**{**PRODUCTION, name: None})
    assert fault.startswith(f"{name}: needed")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "10.0.0.1", "2001:db8::1"])
def test_development_listens_on_loopback_only(host: str, tmp_path: Path):
    """Development mode refuses every address that others can reach."""
    found = faults(dev=True, data=tmp_path, host=host)
    assert found == ("host: development mode listens on a loopback address only",)


@pytest.mark.parametrize("issuer", ["https://tillit.example.no", "http://192.0.2.7:8080", "http://10.0.0.1"])
def test_development_is_nobodys_issuer(issuer: str, tmp_path: Path):
    """Development mode refuses an issuer that is not on loopback."""
    assert len(faults(dev=True, data=tmp_path, issuer=issuer)) == 1


def test_development_needs_a_directory_only(tmp_path: Path):
    """Development mode derives issuer and keys, takes synthetic identifiers, and may have a clock file."""
    settings = load_settings(flags={"dev": True, "data": tmp_path, "port": 8081, "clock": tmp_path / "clock"})
    assert settings.issuer == "http://127.0.0.1:8081"
    assert settings.keys_directory == tmp_path / "keys"
    assert settings.synthetic_identifiers
    assert not load_settings(flags=PRODUCTION).synthetic_identifiers


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path):
    """A file in the place of the data directory is named."""
    file = settings_file(tmp_path)
    assert faults(dev=True, data=file) == ("data: not a directory",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"issuer = !\n", "tillit.toml: not TOML (Invalid value (at line 1, column 10))"),
        (b"\xff", "tillit.toml: cannot be read (not UTF-8)"),
        (None, "tillit.toml: cannot be read (No such file or directory)"),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_named(content: bytes | None, told: str, tmp_path: Path):
    """A settings file that is missing, no text or no TOML is named, with the place in it."""
    file = tmp_path / "tillit.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load_settings(file=file)
    assert refused.value.faults[0] == told


def test_urls_come_from_the_issuer():
    """Every URL of the service starts with the issuer, path and all."""
    settings = load_settings(flags=PRODUCTION)
    assert (settings.path, settings.url("/x")) == ("/helse", "https://tillit.example.no/helse/x")
