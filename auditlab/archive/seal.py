"""Signatures of manifests: ed25519 keys in files, and what a signature proves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditlab.archive.manifest import Signature
from auditlab.errors import BadKey, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from auditlab.archive.manifest import Manifest

__all__ = ["PublicKey", "SigningKey", "new_key", "signature_problem"]

_SIGNED = b"auditlab manifest\0"
"""Stands before what is signed, so that a signature means a manifest and nothing else."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key.

    Args:
        name: The key itself, 32 bytes in hexadecimal, which is what a manifest names it by.
    """

    name: str

    @classmethod
    def read(cls, path: str | Path) -> PublicKey:
        """The public key in a PEM file.

        Raises:
            BadKey: there is none; the message never shows what there is.
            MissingExtra: ``auditlab[seal]`` is not installed.
        """
        ed25519, pem, _ = _cryptography()
        data = _bytes(path)
        if b"PRIVATE" in data:
            raise BadKey(f"{path} holds a private key. To verify, the public one is enough: {path}.pub")
        try:
            key = pem.load_pem_public_key(data)
        except ValueError as exc:
            raise BadKey(f"{path} holds no public key in PEM form. Make a pair: auditlab seal keygen FILE") from exc
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise BadKey(f"{path} holds a public key that is not ed25519.")
        return cls(key.public_bytes_raw().hex())

    def __str__(self) -> str:
        return self.name

    def signed(self, signature: Signature) -> bool:
        """Whether a signature is this key's, of the very manifest that it stands in."""
        ed25519, _, faults = _cryptography()
        try:
            key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.name))
            key.verify(bytes.fromhex(signature.value), _SIGNED + bytes.fromhex(signature.of))
        except (faults.InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private key that signs manifests; nothing of it is shown.

    Args:
        path: A PEM file, as ``auditlab seal keygen`` makes it.

    Raises:
        BadKey: there is no private ed25519 key in it.
        MissingExtra: ``auditlab[seal]`` is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        ed25519, pem, _ = _cryptography()
        data = _bytes(path)
        try:
            key = pem.load_pem_private_key(data, password=None)
        except TypeError as exc:
            raise BadKey(f"{path} is locked with a passphrase. Signing needs a key without one.") from exc
        except ValueError as exc:
            raise BadKey(f"{path} holds no private key in PEM form. Make one: auditlab seal keygen FILE") from exc
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise BadKey(f"{path} holds a private key that is not ed25519. Make one: auditlab seal keygen FILE")
        self._key: Ed25519PrivateKey = key
        self.public = PublicKey(key.public_key().public_bytes_raw().hex())

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public})"

    def sign(self, of: str) -> Signature:
        """The signature of a manifest, by the SHA-256 (hexadecimal) of its body."""
        return Signature(key=self.public.name, value=self._key.sign(_SIGNED + bytes.fromhex(of)).hex(), of=of)


def new_key(path: str | Path) -> tuple[Path, Path]:
    """A new pair of keys: the private one in ``path``, for its owner alone, the public one in ``path.pub``.

    Raises:
        BadKey: one of the files is there already, or cannot be written.
        MissingExtra: ``auditlab[seal]`` is not installed.
    """
    ed25519, pem, _ = _cryptography()
    private = Path(path)
    public = private.with_name(f"{private.name}.pub")
    if public.exists():
        raise BadKey(f"{public} is there already. Nothing was written: a key that is lost cannot be made again.")
    key = ed25519.Ed25519PrivateKey.generate()
    _write(private, key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()), mode=0o600)
    _write(public, key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo), mode=0o644)
    return private, public


def signature_problem(manifest: Manifest, keys: Sequence[PublicKey]) -> str:
    """Why a manifest is not signed by one of these keys; '' where it is."""
    signature = manifest.signature
    if signature is None:
        return "is not signed"
    if signature.key not in {key.name for key in keys}:
        return f"is signed by another key: {signature.key}"
    return "" if PublicKey(signature.key).signed(signature) else f"has a signature that {signature.key} did not make"


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise BadKey(f"cannot read the key {path}: {exc.strerror or exc}") from exc


def _write(path: Path, data: bytes, *, mode: int) -> None:
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as exc:
        raise BadKey(f"{path} is there already. Nothing was written: a key that is lost cannot be made again.") from exc
    except OSError as exc:
        raise BadKey(f"cannot write the key {path}: {exc.strerror or exc}") from exc
    with os.fdopen(opened, "wb") as file:
        file.write(data)


def _cryptography() -> tuple[ModuleType, ModuleType, ModuleType]:
    """What is used of the package: its ed25519, its key files, its exceptions."""
    try:
        from cryptography import exceptions  # noqa: PLC0415 - an optional part, imported where it is used
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - the same
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - the same
    except ImportError as exc:
        raise MissingExtra("signatures need the package cryptography: pip install 'auditlab[seal]'") from exc
    return ed25519, serialization, exceptions
