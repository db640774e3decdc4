"""Signatures and heads: what each of them finds, and what is not found without."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from archived_log import a_batch, grow, sealed
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

import auditlab as al
from auditlab.archive.manifest import MANIFESTS, parse, read_chain, render
from auditlab.archive.read import scan_archive
from auditlab.archive.seal import PublicKey, SigningKey, new_key
from auditlab.archive.verify import prove, verify
from auditlab.archive.write import to_archive
from auditlab.errors import BadKey, BadOption
from auditlab.schema import LogFacts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return new_key(tmp_path / "seal.key")[0]


@pytest.fixture
def public(private: Path) -> Path:
    return private.with_name("seal.key.pub")


@pytest.fixture
def signed(tmp_path: Path, private: Path) -> Path:
    """A signed archive of three manifests."""
    folder, key = tmp_path / "signed", SigningKey(private)
    to_archive([a_batch(1, 20)], folder, facts=LogFacts(), sign=key)
    grow(folder, a_batch(21, 20, "shop.order_items"), sign=key)
    grow(folder, a_batch(41, 20), sign=key)
    return folder


def manifest(archive: Path, number: int) -> Path:
    return archive / MANIFESTS / f"{number:08d}.json"


def rewrite(archive: Path, key: SigningKey | None) -> None:
    """Write the chain anew from its second manifest on, without the rows of that, each hash (and signature) right."""
    (first, sha256), (second, _), (third, _) = read_chain(archive)
    for number, old in ((2, second), (3, third)):
        body = json.loads(render(old))["manifest"] | {"previous": sha256}
        if number == 2:
            body["segments"] = []
        data = sealed(body)
        if key is not None:
            data = render(parse(data.encode(), archive), key).decode()
        manifest(archive, number).write_text(data)
        sha256 = al.head(copy_up_to(archive, number)).sha256
    assert first.number == 1


def copy_up_to(archive: Path, number: int) -> Path:
    copy = archive.with_name(f"{archive.name}-{number}")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(archive, copy)
    for path in sorted((copy / MANIFESTS).iterdir())[number:]:
        path.unlink()
    return copy


def test_a_signed_archive_is_proven_by_its_public_key(signed: Path, public: Path):
    found = prove(signed, keys=[public])
    assert found.whole
    assert found.signed_by == (PublicKey.read(public).name,)
    assert scan_archive(signed).changes.collect().height == 60


def test_every_manifest_that_is_not_signed_is_named(archive: Path, public: Path):
    grow(archive, a_batch(61, 5))
    told = [str(fault) for fault in verify(archive, keys=[public])]
    assert told == [f"{manifest(archive, number)}: is not signed" for number in (1, 2)]


def test_a_signature_of_another_key_is_named_with_that_key(signed: Path, tmp_path: Path):
    _, other = new_key(tmp_path / "other.key")
    own = SigningKey(tmp_path / "seal.key").public
    told = [str(fault) for fault in verify(signed, keys=[other])]
    assert told == [f"{manifest(signed, number)}: is signed by another key: {own}" for number in (1, 2, 3)]
    assert verify(signed, keys=[other, own]) == [], "keys that were changed are given together"


def test_a_signature_that_was_not_made_for_this_manifest_is_found(signed: Path, public: Path):
    """The signature of one manifest under another, all hashes right."""
    taken = json.loads(manifest(signed, 2).read_text())["signature"]
    document = json.loads(manifest(signed, 3).read_text()) | {"signature": taken}
    manifest(signed, 3).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    assert verify(signed) == [], "no key, no proof of signatures"
    (fault,) = verify(signed, keys=[public])
    assert "00000003.json: has a signature that" in str(fault)


def test_a_signature_that_was_cut_off_is_found(signed: Path, public: Path):
    body = json.loads(manifest(signed, 3).read_text())["manifest"]
    manifest(signed, 3).write_text(sealed(body))
    (fault,) = verify(signed, keys=[public])
    assert str(fault) == f"{manifest(signed, 3)}: is not signed"


@pytest.mark.parametrize("told", [{"key": "00", "ed25519": "00"}, {"key": "ab" * 32}, "no", {}, None])
def test_nonsense_for_a_signature_is_damage(signed: Path, told: object):
    document = json.loads(manifest(signed, 3).read_text()) | {"signature": told}
    manifest(signed, 3).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    assert "00000003.json" in str(verify(signed)[0])


def test_to_a_signed_archive_nothing_is_added_without_a_key(signed: Path, private: Path):
    with pytest.raises(BadOption, match="is signed, so what is added to it must be"):
        grow(signed, a_batch(61, 5))
    grow(signed, a_batch(61, 5), sign=SigningKey(private))
    assert verify(signed, keys=[private.with_name("seal.key.pub")]) == []


def test_a_log_in_memory_is_archived_with_a_signature(tmp_path: Path, private: Path, public: Path, archive: Path):
    al.scan_archive(archive).to_archive(tmp_path / "again", sign=private)
    assert verify(tmp_path / "again", keys=[public]) == []


def test_a_dropped_tail_is_found_with_a_head_and_not_without(signed: Path, public: Path):
    kept = al.head(signed)
    manifest(signed, 3).unlink()
    assert verify(signed, keys=[public]) == [], "nothing in the folder tells, not even the signatures"
    (fault,) = verify(signed, heads=[kept])
    assert "ends with manifest 2" in str(fault)
    assert "the last 1 manifest was dropped" in str(fault)


def test_a_fork_is_found_with_a_head_and_not_without(archive: Path):
    grow(archive, a_batch(61, 5))
    kept = str(al.head(archive))
    manifest(archive, 2).unlink()
    grow(archive, a_batch(61, 4))
    grow(archive, a_batch(65, 4))
    assert verify(archive) == []
    (fault,) = verify(archive, heads=[kept])
    assert "00000002.json: is not the manifest that the head 2:" in str(fault)


@pytest.mark.parametrize("sign", [True, False], ids=["signed anew", "unsigned"])
def test_a_chain_that_was_written_anew_is_found_with_a_head_and_not_without(
    signed: Path, private: Path, public: Path, *, sign: bool
):
    """Who has the key, and the folder, can take rows away from the middle; only the head shows it."""
    kept = al.head(signed)
    rewrite(signed, SigningKey(private) if sign else None)
    assert scan_archive(signed).changes.collect().height == 40
    assert verify(signed, keys=[public] if sign else []) == []
    assert "was written anew" in str(verify(signed, heads=[kept])[0])
    assert bool(verify(signed, keys=[public])) is not sign, "a signature helps against those who have no key"


def test_an_archive_that_only_grew_fits_every_head_that_was_kept(archive: Path):
    heads = [al.head(archive)]
    for first in (61, 71):
        grow(archive, a_batch(first, 10))
        heads.append(al.head(archive))
    assert [one.number for one in heads] == [1, 2, 3]
    assert verify(archive, heads=heads) == []


@pytest.mark.parametrize("told", ["", "3", "0:" + "ab" * 32, "3:" + "AB" * 32, "3:" + "ab" * 31, "x"])
def test_a_head_that_is_none_is_told(archive: Path, told: str):
    with pytest.raises(BadOption, match="is no head"):
        verify(archive, heads=[told])


def test_a_sample_reads_that_share_and_says_so(archive: Path):
    for first in range(61, 71):
        grow(archive, a_batch(first, 1))
    found = prove(archive, sample=0.5)
    assert (found.files, found.of_files, found.share) == (6, 12, 0.5)
    assert "A sample of 50%: nothing is said about the files that were not read." in str(found)
    assert "A sample" not in str(prove(archive))
    assert prove(archive, sample=0.001).files == 1
    for wrong in (0, -1, 1.01):
        with pytest.raises(BadOption, match="share"):
            prove(archive, sample=wrong)


def test_samples_find_a_damaged_file_sooner_or_later(archive: Path):
    grow(archive, a_batch(61, 1))
    (archive / "data" / read_chain(archive)[1][0].segments[0].parts[0].name).write_bytes(b"")
    assert {bool(verify(archive, sample=0.3)) for _ in range(60)} == {True, False}


def test_what_is_not_proven_is_said(archive: Path):
    assert "Not proven: that nothing was dropped from its end" in str(prove(archive))
    assert "Not proven" not in str(prove(archive, heads=[al.head(archive)]))


def test_the_result_is_plain_values_for_machines(signed: Path, public: Path):
    told = json.loads(json.dumps(prove(signed, keys=[public], heads=[al.head(signed)]).as_dict()))
    assert (told["whole"], told["faults"], told["rows"], told["files"]) == (True, [], 60, 3)
    assert (told["held_against_keys"], told["held_against_heads"]) == (1, 1)
    assert told["head"] == str(al.head(signed))


def test_a_private_key_is_for_its_owner_and_is_never_written_over(tmp_path: Path):
    private, public = new_key(tmp_path / "a.key")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes(), public.read_bytes()
    (tmp_path / "b.key.pub").write_text("")
    for name in ("a.key", "b.key"):
        with pytest.raises(BadKey, match="is there already"):
            new_key(tmp_path / name)
    assert (private.read_bytes(), public.read_bytes()) == before
    assert not (tmp_path / "b.key").exists()
    assert repr(SigningKey(private)) == f"SigningKey(public={PublicKey.read(public)})"


def test_what_is_no_key_is_told_and_never_shown(tmp_path: Path):
    private, public = new_key(tmp_path / "a.key")
    pem, raw = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    other = rsa.generate_private_key(65537, 2048)
    (tmp_path / "rsa").write_bytes(other.private_bytes(pem, raw, serialization.NoEncryption()))
    (tmp_path / "rsa.pub").write_bytes(
        other.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    locked = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "locked").write_bytes(
        locked.private_bytes(pem, raw, serialization.BestAvailableEncryption(b"a passphrase"))
    )
    (tmp_path / "text").write_text("hunter2")
    cases = {
        (SigningKey, public): "holds no private key",
        (SigningKey, tmp_path / "rsa"): "is not ed25519",
        (SigningKey, tmp_path / "locked"): "is locked with a passphrase",
        (SigningKey, tmp_path / "text"): "holds no private key",
        (SigningKey, tmp_path / "nothing"): "No such file",
        (SigningKey, tmp_path): "Is a directory",
        (PublicKey.read, private): "holds a private key",
        (PublicKey.read, tmp_path / "rsa.pub"): "is not ed25519",
        (PublicKey.read, tmp_path / "text"): "holds no public key",
        (PublicKey.read, tmp_path / "nothing"): "No such file",
        (new_key, tmp_path / "no" / "folder"): "cannot write the key",
    }
    for (use, path), words in cases.items():
        with pytest.raises(BadKey, match=words) as told:
            use(path)
        assert "hunter2" not in str(told.value)
        assert "BEGIN" not in str(told.value)


def test_without_the_package_the_message_is_what_to_install():
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from auditlab.archive.seal import new_key; from auditlab.errors import MissingExtra\n"
        "try: new_key('never')\nexcept MissingExtra as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("pip install 'auditlab[seal]'")
