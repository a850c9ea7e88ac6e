"""Every error Tunegate raises on purpose, as one tree.

TunegateError                  exit 1   something went wrong that is not the caller's input
├── BadInput                   exit 2   the caller's input; nothing expensive was done
│   ├── ConfigError                     a config file, with the path of every wrong key
│   ├── DataError                       a data file, with the line number
│   ├── PolicyError                     a policy file
│   ├── NotFound                        a name, digest or file that is not there
│   └── Denied                 exit 3   a person or key that may not do this; recorded by who raises it
├── IntegrityError             exit 1   bytes are not what was signed or recorded
├── StoreFault                 exit 1   the store can't be read or written
├── ResourcesUnavailable       exit 1   the cluster can't give what the config asks for
└── TrainingFault              exit 1   the run ended without a usable adapter

Each message says what was found, what was expected and what to do. The exit codes 3 (refused by the
gate), 4 (undecided) and 5 (waiting for approval) are outcomes, not errors: see `tunegate.release`.
"""


class TunegateError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with."""

    exit_code = 1


class BadInput(TunegateError):
    """The input can't be used as it is."""

    exit_code = 2


class ConfigError(BadInput):
    """A config file is wrong; the message lists every problem with its path in the file."""


class DataError(BadInput):
    """A data file is wrong; the message names the file and, where there is one, the line."""


class PolicyError(BadInput):
    """A policy file is wrong."""


class NotFound(BadInput):
    """What was asked for does not exist here."""


class Denied(BadInput):
    """Somebody tried what their role, their key or the policy does not let them do."""

    exit_code = 3


class IntegrityError(TunegateError):
    """Stored or signed bytes do not verify. Never caught to be ignored."""


class StoreFault(TunegateError):
    """The store, the home folder or the database can't be read or written."""


class ResourcesUnavailable(TunegateError):
    """CPUs, GPUs, memory or disk that the config asks for are not there."""


class TrainingFault(TunegateError):
    """Training ended without a usable adapter (non-finite loss, dead worker, inert adapter)."""
