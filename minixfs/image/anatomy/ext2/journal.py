"""The superblock of an ext3 journal: what a dump shows of it. All its numbers are big-endian."""

from __future__ import annotations

from typing import Any

from construct import Bytes, Int32ul, Struct

from minixfs.image.anatomy.ext2.meanings import uuid_words
from minixfs.image.anatomy.words import flag_words
from minixfs.layouts import Record

MAGIC = 0xC03B3998
RECORD = Record(
    Struct(
        "h_magic" / Int32ul,
        "h_blocktype" / Int32ul,
        "h_sequence" / Int32ul,
        "s_blocksize" / Int32ul,
        "s_maxlen" / Int32ul,
        "s_first" / Int32ul,
        "s_sequence" / Int32ul,
        "s_start" / Int32ul,
        "s_errno" / Int32ul,
        "s_feature_compat" / Int32ul,
        "s_feature_incompat" / Int32ul,
        "s_feature_ro_compat" / Int32ul,
        "s_uuid" / Bytes(16),
        "s_nr_users" / Int32ul,
        "s_dynsuper" / Int32ul,
        "s_max_transaction" / Int32ul,
        "s_max_trans_data" / Int32ul,
    )
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
