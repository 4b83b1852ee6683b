"""The bytes of a record: one `tf.train.Example` in the frame of a TFRecord file.

All records of a schema have the same length, and an array stands at the same place in each of them.
So a record is a copy of a form that is filled in, and a record's place in a file is known before
any other is written. The form follows the wire format of protocol buffers
(https://protobuf.dev/programming-guides/encoding), the message definitions of TensorFlow's Example
and TensorProto, and the TFRecord frame (https://www.tensorflow.org/tutorials/load_data/tfrecord):
no TensorFlow is needed to write samples.
"""

from collections.abc import Mapping

import google_crc32c
import numpy as np

from decloud_lib.samples.schema import GEOINFO_KEY, SampleSchema
from decloud_lib.types import Array

#: Numbers of TensorFlow's enumeration `DataType`.
_DATA_TYPES = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int64": 9,
    "bool": 10,
    "uint16": 17,
}
_GEOINFO = ((4,), "float32")
#: A checksum of data that holds checksums would be weak: TFRecord rotates and shifts them.
_MASK = 0xA282EAD8
_U32 = 0xFFFFFFFF


class RecordForm:
    """The form that all records of a schema fill in.

    Attributes
    ----------
    length : int
        Bytes of a record in a file, frame included.
    """

    def __init__(self, schema: SampleSchema) -> None:
        kinds = {key: (schema.shapes[key], schema.dtypes[key]) for key in schema.keys}
        parts: list[tuple[str, bytes, int]] = []
        # A map has no order; sorted keys make equal samples equal bytes.
        for key, (shape, dtype) in sorted((kinds | {GEOINFO_KEY: _GEOINFO}).items()):
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            parts.append((key, _feature_head(key, shape, dtype, size), size))
        content = sum(len(head) + size for _, head, size in parts)
        start = b"\x0a" + _varint(content)
        body = len(start) + content
        length = body.to_bytes(8, "little")
        self.length = 12 + body + 4
        self._blank = np.zeros(self.length, np.uint8)
        frame = length + masked_crc(length) + start
        place = len(frame)
        self._blank[:place] = np.frombuffer(frame, np.uint8)
        self._places: dict[str, slice] = {}
        for key, head, size in parts:
            self._blank[place : place + len(head)] = np.frombuffer(head, np.uint8)
            place += len(head)
            self._places[key] = slice(place, place + size)
            place += size

    def blank(self) -> Array:
        """Return an empty form, (length,) uint8; it can be filled again and again."""
        return self._blank.copy()

    def fill(self, record: Array, arrays: Mapping[str, Array]) -> None:
        """Fill in a form.

        Parameters
        ----------
        record
            What `blank` returned.
        arrays
            All arrays of the schema, and `geoinfo`; with the shapes and types of the schema. Pixels
            of a window of a larger array need not be copied before.
        """
        for key, place in self._places.items():
            source = _as_bytes(arrays[key])
            record[place].reshape(source.shape)[...] = source
        record[-4:] = np.frombuffer(masked_crc(record[12:-4]), np.uint8)


def _as_bytes(array: Array) -> Array:
    """Return the bytes of an array; its last axis becomes longer."""
    array = np.atleast_1d(array)
    if array.strides[-1] != array.itemsize:
        array = np.ascontiguousarray(array)
    return array.view(np.uint8)


def _feature_head(key: str, shape: tuple[int, ...], dtype: str, size: int) -> bytes:
    """Return what stands before the content of an array: one entry of the map of features."""
    dims = b"".join(_field(2, b"\x08" + _varint(side)) for side in shape)
    tensor = b"\x08" + _varint(_DATA_TYPES[dtype]) + _field(2, dims) + b"\x22" + _varint(size)
    # From the inside out: each level counts the bytes of the level below, the content included.
    values = b"\x0a" + _varint(len(tensor) + size) + tensor
    feature = b"\x0a" + _varint(len(values) + size) + values
    entry = _field(1, key.encode()) + b"\x12" + _varint(len(feature) + size) + feature
    return b"\x0a" + _varint(len(entry) + size) + entry


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def masked_crc(data: bytes | Array) -> bytes:
    """Return the checksum of TFRecord: 4 bytes."""
    crc = google_crc32c.value(data)
    masked: int = ((crc >> 15 | crc << 17) + _MASK) & _U32
    return masked.to_bytes(4, "little")
