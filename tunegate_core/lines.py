"""One line of JSON, whatever stands in it: what is none is always the same error, with its place in the line.

Python's reader gives others for lists nested too deeply and for numbers of thousands of digits.
"""

import json
from typing import Any


def parse(line: str) -> Any:
    """The value. Raises json.JSONDecodeError and nothing else."""
    try:
        return json.loads(line)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", line, 0) from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise json.JSONDecodeError("a number is too long", line, 0) from error
