"""The superblock of an ext3 journal: what a dump shows of it. All its numbers are big-endian."""

from __future__ import annotations

from typing import Any

from minixfs.image.anatomy.ext2.meanings import uuid_words
from minixfs.image.anatomy.words import flag_words
from minixfs.layouts import U32, Record, octets

MAGIC = 0xC03B3998
RECORD = Record(
    h_magic=U32,
    h_blocktype=U32,
    h_sequence=U32,
    s_blocksize=U32,
    s_maxlen=U32,
    s_first=U32,
    s_sequence=U32,
    s_start=U32,
    s_errno=U32,
    s_feature_compat=U32,
    s_feature_incompat=U32,
    s_feature_ro_compat=U32,
    s_uuid=octets(16),
    s_nr_users=U32,
    s_dynsuper=U32,
    s_max_transaction=U32,
    s_max_trans_data=U32,
).big_endian()
_FEATURES = {0x1: "revoke", 0x2: "64bit", 0x4: "async_commit", 0x8: "checksum v2", 0x10: "checksum v3"}
_TYPES = {1: "descriptor", 2: "commit", 3: "superblock, version 1", 4: "superblock, version 2", 5: "revoke"}
_PLAIN = {
    "s_blocksize": "bytes",
    "s_maxlen": "blocks",
    "s_first": "the first block of the log",
    "s_sequence": "the first transaction of the log",
    "s_nr_users": "file systems",
}


def meaning(name: str, value: Any) -> str:
    match name:
        case "h_magic":
            return f"{value:#010x}, {'a journal' if value == MAGIC else 'unknown'}"
        case "h_blocktype":
            return _TYPES.get(value, "unknown")
        case "s_start":
            return "where the log begins: it must be replayed" if value else "the journal is empty"
        case "s_feature_incompat":
            return flag_words(value, _FEATURES)
        case "s_uuid":
            return uuid_words(value)
    return _PLAIN.get(name, "")
