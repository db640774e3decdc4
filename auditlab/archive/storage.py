"""How object storage is reached: the options, and what it refuses in words that say what to do."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyarrow import fs

from auditlab.connection import redact
from auditlab.errors import ArchiveError, BadOption, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["OPTIONS", "opened", "options", "told"]

_SECONDS = 30.0

OPTIONS = (
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_region",
    "aws_endpoint_url",
    "aws_skip_signature",
)
"""The options of storage that are known, by the names that Polars has for them; ``aws_`` may be left out."""

_VARIABLES = {
    "aws_region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "aws_endpoint_url": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
}
_SECRET = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")

_CREDENTIALS = "storage_options, or AWS_ACCESS_KEY_ID and its like"
_CAUSES = (
    (("NO_SUCH_BUCKET",), "there is no such bucket"),
    (("ExpiredToken",), f"the credentials have expired. Give new ones: {_CREDENTIALS}"),
    (("InvalidToken",), f"the session's token does not belong to the key. Give both anew: {_CREDENTIALS}"),
    (("TIME_TOO_SKEWED", "TimeTooSkewed"), "this machine's clock is wrong, by more than the storage allows. Set it"),
    (
        ("HTTP 301", "HTTP status 301", "PERMANENT_REDIRECT", "PermanentRedirect", "AuthorizationHeaderMalformed"),
        "the bucket is in another region: give aws_region",
    ),
    (
        ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID", "HTTP 403"),
        f"access denied. Give credentials that may read it: {_CREDENTIALS}",
    ),
    (
        ("SLOW_DOWN", "INTERNAL_FAILURE", "SERVICE_UNAVAILABLE", "HTTP status 500", "HTTP status 503"),
        "the storage is too busy, or out of order, also when asked again. Try again later",
    ),
    (("SSL connect error",), "the storage speaks no TLS there. Look at http or https in aws_endpoint_url"),
    (("curlCode: 28",), "the storage does not answer in time, also when asked again. Try later, or another network"),
    (("Transferred a partial file",), "the storage broke off in the middle of a file, more than once. Try again"),
    (
        ("NETWORK_CONNECTION", "curlCode"),
        "the storage cannot be reached. Look at aws_endpoint_url, and at this machine's network",
    ),
)


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options by their whole names, with what the environment has of those that are not given.

    Raises:
        BadOption: an unknown one, one half of what belongs together, or an endpoint that is no URL.
    """
    known = {name.removeprefix("aws_"): name for name in OPTIONS}
    unknown = [name for name in given if name.lower().removeprefix("aws_") not in known]
    if unknown:
        raise BadOption(f"storage_options has no {', '.join(map(repr, unknown))}. It has {', '.join(OPTIONS)}.")
    found = {known[name.lower().removeprefix("aws_")]: value for name, value in given.items()}
    for name, variables in _VARIABLES.items():
        set_ = [os.environ[variable] for variable in variables if os.environ.get(variable)]
        if name not in found and set_:
            found[name] = set_[0]
    lacking = [name for name in _SECRET[:2] if not found.get(name)]
    if len(lacking) == 1 or (lacking and found.get("aws_session_token")):
        raise BadOption(f"storage_options lacks {' and '.join(lacking)}. Give the key, its secret, or none of them.")
    _check_endpoint(found.get("aws_endpoint_url"))
    return found


def _check_endpoint(url: object) -> None:
    if url is None:
        return
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise BadOption(
            f"aws_endpoint_url={redact(str(url))!r} is no URL of a server, such as https://storage.example.com or "
            "http://127.0.0.1:9000, without credentials. Nothing was asked of any."
        )


def opened(given: Mapping[str, Any]) -> fs.FileSystem:
    """The storage that options name, as a file system."""
    endpoint = urlsplit(given.get("aws_endpoint_url") or "")
    return fs.S3FileSystem(
        access_key=given.get("aws_access_key_id"),
        secret_key=given.get("aws_secret_access_key"),
        session_token=given.get("aws_session_token"),
        anonymous=str(given.get("aws_skip_signature", False)).lower() == "true",
        region=given.get("aws_region"),
        scheme=endpoint.scheme or None,
        endpoint_override=f"{endpoint.netloc}{endpoint.path}".rstrip("/") or None,
        connect_timeout=_SECONDS,
        request_timeout=_SECONDS,
    )


@contextmanager
def told(url: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Say in words what the storage refuses, and nothing of a secret.

    Raises:
        StorageFailed: in place of the library's error; what this package says itself, and that an object is not there,
            stays as it is.
    """
    try:
        yield
    except (ArchiveError, FileNotFoundError):
        raise
    except OSError as exc:
        words = str(exc)
        for secret in _secrets(given):
            words = words.replace(secret, "***")
        causes = [cause for signs, cause in _CAUSES if any(sign in words for sign in signs)]
        raise StorageFailed(f"{url}: {causes[0] if causes else 'the storage refuses'}. ({words})") from None


def _secrets(given: Mapping[str, Any]) -> Iterator[str]:
    for name in _SECRET:
        yield from (str(one) for one in (given.get(name), os.environ.get(name.upper())) if one)
