"""The web configuration file: what it may say, and what is said of a wrong one."""

import re
import subprocess
from pathlib import Path

import pytest

from exporters.errors import WebConfigError
from exporters.web.config import ClientAuth, TlsVersion, WebConfig
from exporters.web.config_file import read_web_config
from exporters.web.tls import server_tls

HASH = "$2b$04$" + "a" * 53
SAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "web-config.yml"


def read(folder: Path, text: str) -> WebConfig:
    path = folder / "web.yml"
    path.write_text(text, encoding="utf-8")
    return read_web_config(path)


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(WebConfigError) as error:
        read(folder, text)
    return str(error.value).replace(f"{folder}/", "")


def test_everything_that_the_convention_knows_is_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        f"""
        tls_server_config:
          cert_file: tls/server.pem
          key_file: /etc/server.key
          client_auth_type: RequireAndVerifyClientCert
          client_ca_file: ca.pem
          client_allowed_sans: [prometheus.example, 10.0.0.1]
          min_version: TLS13
          max_version: TLS13
          cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
          prefer_server_cipher_suites: false
        http_server_config:
          http2: false
          headers: {{Strict-Transport-Security: max-age=31536000, X-Frame-Options: deny}}
        basic_auth_users: {{prometheus: {HASH}}}
        """,
    )
    tls = config.tls_server_config

    assert tls is not None
    assert (tls.cert_file, tls.key_file, tls.client_ca_file) == (
        tmp_path / "tls/server.pem",
        Path("/etc/server.key"),
        tmp_path / "ca.pem",
    )
    assert (tls.client_auth_type, tls.min_version) == (ClientAuth.REQUIRED, TlsVersion.TLS13)
    assert config.basic_auth_users == {"prometheus": HASH}


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_serves_plain_http_to_everyone(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == WebConfig()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("basic_auth_user: {}", "web.yml line 1: unknown key basic_auth_user; did you mean basic_auth_users?"),
        (
            "\ntls_server_config:\n  cert_file: a\n  keyfile: b",
            (
                "web.yml line 2: tls_server_config needs key_file\n"
                "web.yml line 4: unknown key keyfile in tls_server_config; did you mean key_file?"
            ),
        ),
        (
            "zzz: 1",
            "web.yml line 1: unknown key zzz; known keys: tls_server_config, http_server_config, basic_auth_users",
        ),
        (
            "tls_server_config:\n  cert_file: a\n  key_file: b\n  curve_preferences: [X25519]",
            (
                "web.yml line 4: curve_preferences in tls_server_config is not supported: "
                "Python's ssl cannot choose a list of curves; leave it out"
            ),
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}",
            "web.yml line 1: tls_server_config.min_version: expected 'TLS12' or 'TLS13'",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}",
            (
                "web.yml line 1: tls_server_config.client_auth_type: expected 'NoClientCert', "
                "'VerifyClientCertIfGiven' or 'RequireAndVerifyClientCert'"
            ),
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}",
            "web.yml line 1: tls_server_config: client_auth_type RequireAndVerifyClientCert needs client_ca_file",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}",
            (
                "web.yml line 1: tls_server_config: client_ca_file and client_allowed_sans need "
                "client_auth_type RequireAndVerifyClientCert"
            ),
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}",
            "web.yml line 1: tls_server_config: min_version TLS13 is above max_version TLS12",
        ),
        (
            "basic_auth_users:\n  alice: secret",
            (
                "web.yml line 2: basic_auth_users.alice: not a bcrypt hash; "
                "make one with: htpasswd -nBC 10 '' | tr -d ':\\n'"
            ),
        ),
        (
            f"basic_auth_users:\n  alice: {HASH.replace('$04$', '$31$')}",
            "web.yml line 2: basic_auth_users.alice: the hash's cost must be 4 to 15, as each check pays it",
        ),
        (
            f"basic_auth_users: {{'a:b': {HASH}}}",
            "web.yml line 1: basic_auth_users.a:b: a user's name is not empty and holds no colon",
        ),
        (
            f"basic_auth_users:\n  alice: {HASH}\n  alice: {HASH}",
            "web.yml line 3: basic_auth_users.alice is already on line 2",
        ),
        (
            "http_server_config:\n  headers:\n    Server: mine",
            (
                "web.yml line 2: http_server_config.headers: header 'Server' cannot be set; these can: "
                "Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, "
                "X-XSS-Protection"
            ),
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: never}}",
            "web.yml line 1: http_server_config.headers: header X-Frame-Options: 'never' is none of deny, sameorigin",
        ),
        (
            'http_server_config: {headers: {X-XSS-Protection: "a\\r\\nSet-Cookie: b"}}',
            (
                "web.yml line 1: http_server_config.headers: header X-XSS-Protection: "
                "the value must be printable ASCII on one line"
            ),
        ),
        ("- a", "web.yml line 1: the file must be a mapping; known keys: "),
        ("a: [", "web.yml line 1: not valid YAML: "),
    ],
)
def test_a_wrong_file_is_told_with_line_and_mend(tmp_path: Path, text: str, expected: str) -> None:
    found = complaint(tmp_path, text)

    assert found.startswith(expected) if expected.endswith(": ") else found == expected


def test_a_hash_does_not_appear_in_what_is_said_of_it(tmp_path: Path) -> None:
    assert "hunter2" not in complaint(tmp_path, "basic_auth_users: {alice: hunter2}")
    assert "hunter2" not in complaint(tmp_path, "basic_auth_users: {alice: [hunter2]}")


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(WebConfigError, match=r"--web-config-file: cannot read .*/none\.yml: No such file or directory"):
        read_web_config(tmp_path / "none.yml")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(WebConfigError, match="it is not UTF-8 text"):
        read_web_config(tmp_path / "binary.yml")


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path, server_certificate: tuple[Path, Path]) -> None:
    certificate, key = server_certificate
    locked, junk = tmp_path / "locked.key", tmp_path / "junk.pem"
    junk.write_text("not a certificate", encoding="utf-8")
    secret = ("-aes256", "-passout", "pass:secret")
    subprocess.run(["openssl", "ec", "-in", str(key), *secret, "-out", str(locked)], check=True, capture_output=True)

    for cert_file, key_file, authorities, expected in (
        ("none.pem", key, None, "cert_file: cannot read .*none.pem: No such file"),
        (certificate, junk, None, "junk.pem are not a PEM certificate and its unencrypted key"),
        (certificate, locked, None, "locked.key are not a PEM certificate and its unencrypted key"),
        (certificate, key, junk, "client_ca_file: .*junk.pem holds no PEM certificate"),
    ):
        auth = f"client_auth_type: RequireAndVerifyClientCert, client_ca_file: {authorities}," if authorities else ""
        config = read(tmp_path, f"tls_server_config: {{{auth} cert_file: {cert_file}, key_file: {key_file}}}")
        assert config.tls_server_config is not None
        with pytest.raises(WebConfigError, match=expected):
            server_tls(config.tls_server_config)


def test_the_sample_is_read_and_promtool_accepts_it(tmp_path: Path, server_certificate: tuple[Path, Path]) -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    uncommented = re.sub(r"(?m)^(\s*)# (\w+:)", r"\1\2", text)
    certificate, key = server_certificate
    (tmp_path / "exporter.pem").write_bytes(certificate.read_bytes())
    (tmp_path / "exporter.key").write_bytes(key.read_bytes())
    (tmp_path / "clients-ca.pem").write_bytes(certificate.read_bytes())

    for variant in (text, uncommented):
        config = read(tmp_path, variant)
        assert config.tls_server_config is not None
        assert config.basic_auth_users
        server_tls(config.tls_server_config)
        checked = subprocess.run(
            ["promtool", "check", "web-config", str(tmp_path / "web.yml")],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert checked.returncode == 0, checked.stderr
