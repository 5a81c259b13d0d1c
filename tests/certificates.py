"""Certificates made for a test: an authority, and what it signs."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: str = "") -> str:
    hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        hidden = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden
    ).decode()


class Authority:
    """An authority of its own, or one below another; `pem` is its certificate."""

    pem: str

    def __init__(self, name: str = "Test CA", *, above: "Authority | None" = None) -> None:
        self.name = name_of(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        signer = above or self
        self._below_another = above is not None
        self.pem = pem_of(
            _builder(self.name, signer.name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer._key, hashes.SHA256())
        )

    def issue(
        self, *hosts: str, begins: timedelta = -DAY, ends: timedelta = DAY, passphrase: str = ""
    ) -> str:
        """Return a certificate for these hosts, with its key and, below another, its authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name_of("leaf"), self.name, key, begins, ends)
        if hosts:
            names = x509.SubjectAlternativeName([_general(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        leaf = pem_of(builder.sign(self._key, hashes.SHA256()))
        return key_pem(key, passphrase) + leaf + (self.pem if self._below_another else "")

    def server(self, folder: Path, *hosts: str, **validity: timedelta) -> ssl.SSLContext:
        """Return the TLS context of a server with a certificate for these hosts."""
        return server_context(folder, self.issue(*hosts, **validity))  # type: ignore[arg-type]  # no passphrase

    def wants_clients(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Let a server ask for client certificates of this authority."""
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.pem)
        return context


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def server_context(folder: Path, pem: str) -> ssl.SSLContext:
    path = folder / "server.pem"
    path.write_text(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
