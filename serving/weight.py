"""What a JSON text may take of memory once it is parsed: known before it is parsed, so that too much never is."""

LEAST = 1_024
TEXT = 4  # bytes of a character, where one of a string lies beyond the first 65,536
OPENING = 192  # of a dictionary with a first entry, or a list
COLON = 128  # of an entry just after a dictionary grew, with its key
COMMA = 64  # of a value and its place


def weight(raw: bytes) -> int:
    """Bytes at most. Short texts of numbers weigh 30 times what they are long, prose 4 times."""
    openings = raw.count(b"{") + raw.count(b"[")
    return LEAST + TEXT * len(raw) + OPENING * openings + COLON * raw.count(b":") + COMMA * raw.count(b",")
