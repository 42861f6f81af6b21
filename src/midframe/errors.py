"""Everything midframe raises on purpose.

MidframeError
├── UsageError          2   an option, a name or a combination that cannot be meant
│   └── ContractError   2   a model was asked for something outside its declared contract
├── InputError          3   the input cannot be opened or holds no video
│   └── DamagedError    4   the input breaks off or is corrupt part-way
├── OutputError         5   the output cannot be written: no space, no permission, a container that refuses
├── MemoryLimitError    6   a frame or a job needs more memory than there is
├── ModelError          7   weights missing or wrong, a model that fails
└── VerifyError         8   the finished file is not what was promised

The number is the exit code of the command line. 0 is success, 1 an internal bug, 130 interrupted (resumable; 143 by
SIGTERM, 129 by SIGHUP), 141 a reader of stdout that went away.
A message names the thing, the limit and the way out, in one line.
"""


class MidframeError(Exception):
    """Base of every error a user can cause or cure; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(MidframeError):
    exit_code = 2


class ContractError(UsageError):
    pass


class InputError(MidframeError):
    exit_code = 3


class DamagedError(InputError):
    exit_code = 4


class OutputError(MidframeError):
    exit_code = 5


class MemoryLimitError(MidframeError):
    exit_code = 6


class ModelError(MidframeError):
    exit_code = 7


class VerifyError(MidframeError):
    exit_code = 8


INTERRUPTED = 130
