"""What can go wrong while an agent works. Each message is a sentence for the person who waits.

AgentError
├── SandboxError            the sandbox could not be made, reached or used
│   ├── SandboxGone         it no longer exists; the work can go on in a new one
│   ├── SandboxBusy         its provider has no room for another one now
│   └── SandboxRefused      it refused us: key, request, or no isolation on this machine
├── ModelError              the model's API could not be used
│   ├── ModelUnreachable    network, overload or rate limit outlasted our patience
│   ├── ModelRefused        key, request or content was refused
│   └── ModelUnknown        no price is known, so no money limit could be kept
└── LimitReached            a ceiling was reached: time, turns or money
    └── ContextFull         the conversation outgrew what the model can read at once
"""


class AgentError(Exception):
    """Base of all; `str(error)` may be shown to people and holds no secret."""


class SandboxError(AgentError):
    """The sandbox could not be made, reached or used."""


class SandboxGone(SandboxError):
    """The sandbox no longer exists; the work can go on in a new one."""


class SandboxBusy(SandboxError):
    """The sandbox's provider has no room for another one now; later it may."""


class SandboxRefused(SandboxError):
    """The sandbox's provider refused: a wrong key, a request, or no isolation on this machine."""


class ModelError(AgentError):
    """The model's API could not be used."""


class ModelUnreachable(ModelError):
    """The network, an overload or a rate limit outlasted our patience."""


class ModelRefused(ModelError):
    """The key, the request or its content was refused."""


class ModelUnknown(ModelError):
    """No price is known for the model, so no money limit could be kept."""


class LimitReached(AgentError):
    """A ceiling was reached: time, turns or money. What was committed stays."""


class ContextFull(LimitReached):
    """The conversation outgrew what the model can read at once; a new one can go on from here."""
