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
SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


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
        signs = x509.BasicConstraints(ca=True, path_length=None)
        self.pem = signer._signed(
            _builder(self.name, self._key)
            .add_extension(signs, critical=True)
            .add_extension(SIGNS_CERTIFICATES, critical=True)
        )

    def issue(
        self, *hosts: str, begins: timedelta = -DAY, ends: timedelta = DAY, passphrase: str = ""
    ) -> str:
        """Return a certificate for these hosts, with its key and, below another, its authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name_of("leaf"), key, begins, ends)
        if hosts:
            names = x509.SubjectAlternativeName([_general(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        leaf = self._signed(builder)
        return key_pem(key, passphrase) + leaf + (self.pem if self._below_another else "")

    def _signed(self, builder: x509.CertificateBuilder) -> str:
        # With all that strict checks, the default from Python 3.13 on, ask for.
        public = self._key.public_key()
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
        builder = builder.issuer_name(self.name).add_extension(identifier, critical=False)
        return pem_of(builder.sign(self._key, hashes.SHA256()))

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
    key: ec.EllipticCurvePrivateKey,
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
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
