"""Secrets as users have them, the forms in which programs print them, and a search for what is left."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import duckdb

SECRETS: Mapping[str, str] = {
    "SHOP_API_KEY": "sk-proj-Ab3dEf6hIj9kLm2nOp5q",
    "SHOP_TOKEN": "ghx_16C7e42F292c6912E7710c838347Ae178B4a",
    "DB_PASSWORD": "p@ss w0rd/with+odd=chars&more",
    "KEY_PASSPHRASE": "correct horse battery staple",
    "SESSION_COOKIE": "sid=9f8e7d6c5b4a; Path=/; HttpOnly",
    "SENTRY_DSN": "https://0a1b2c3d4e5f6a7b@o123.ingest.example.org/456",
    "AZURE_SAS": "?sv=2022-11-02&sig=Zm9vYmFyYmF6cXV4%3D&se=2030",
    "CHAT_WEBHOOK_URL": "https://hooks.example.org/services/T0A1B2C3D/B4E5F6G7/hIjKlMnOpQrS",
    "CLOUD_ACCESS_KEY_ID": "AKIAZ7EXAMPLE4QRSTUV",
    "CLOUD_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzEXAMPLEKEY",
    "APP_SECRET": "quo\"te's<and>&amps\\slash",
    "UNICODE_PASSWORD": "pässwörd-Überlänge-4711",
    "JWT_TOKEN": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27uhbUJU1p1r",
    "SIGNING_KEY_PEM": "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nRfK2mZ8cTqYv5nW3xLpE7d\n-----END KEY-----",
    "SERVICE_CREDENTIALS": '{"user": "svc", "client_secret": "GOCSPX-7h1s1sN0tR34l"}',
    "BASIC_AUTH": "Basic c3ZjOkgwcnNlLUJhdHRlcnktNDI=",
    "SERVICE_URL": "postgres://app:Xy7Qw3Rt9Zk1@db.example.org/main",
    "PLAIN_SETTING": "q8Zt2-Wm4Xc-7RbLp",
    "REGION_HINT": "550e8400-e29b-41d4-a716-446655440000",
    "WINDOWS_PAT": "C:\\Users\\svc\\n0t-a-p4th\\tok3n",
    "SHELL_PASSWD": "$(rm -rf)`x`'y'!#~z9",
    "LONG_TOKEN": "t0k" + "Qx7bN2" * 40,
}
"""22 secrets. The last word of some names says nothing; the set names those variables."""


def _unicode(text: str) -> str:
    units = text.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


FORMS: Mapping[str, Callable[[str], str]] = {
    "raw": str,
    "percent": lambda text: quote(text, safe=""),
    "percent of each byte": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json twice": lambda text: json.dumps(json.dumps(text)),
    "unicode escapes": _unicode,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "url-safe, unpadded": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "basic": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "base64 at two": lambda text: base64.b64encode(f"ab{text}z".encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode() * 2).decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "repr": lambda text: repr(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode()),
    "html": html.escape,
    "html numbers": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "shell": shlex.quote,
    "yaml": lambda text: "'" + text.replace("'", "''") + "'",
}


def spell_all(text: str) -> list[str]:
    """The text in every form."""
    return [form(text) for form in FORMS.values()]


def list_traces(secret: str) -> set[bytes]:
    """What betrays a secret in a file, in whatever way the file's format escapes it."""
    found = set()
    for spelled in spell_all(secret):
        parts = re.findall(r"[A-Za-z0-9]{6,}", spelled)
        if not parts:  # escapes of each character
            parts = [spelled, json.dumps(spelled)[1:-1], html.escape(spelled)]
        longest = max(parts, key=len)
        # The edges of base64 depend on what is around it.
        found.add(longest[2:-2].encode() if len(longest) > 12 else longest.encode())
    return found


def find_leaks(secrets: Mapping[str, str], files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield each secret with a file that it is in."""
    for name, secret in secrets.items():
        for trace in list_traces(secret):
            for place, data in files.items():
                if trace in data:
                    yield f"{name} in {place}: {trace!r}"


def read_all(folder: Path, left_out: set[str]) -> dict[str, bytes]:
    """Every file below a folder by its path; the columns of a Parquet file as text."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in left_out:
            continue
        found[str(path.relative_to(folder))] = path.read_bytes()
        if path.suffix == ".parquet":
            rows = duckdb.connect().execute(f"select * from '{path}'").fetchall()
            found[f"{path.name} (rows)"] = (
                str(rows).encode() + json.dumps(rows, default=str).encode()
            )
    return found
