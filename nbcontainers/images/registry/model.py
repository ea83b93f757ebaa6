"""What goes through the door of this room, as plain data."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks; without anything, anybody.

    Args:
        username: With the password.
        password: With the username.
        identity_token: What a registry has given in place of a password (an OAuth2 refresh token).
        registry_token: A token for the registry itself, sent as it is.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def anonymous(self) -> bool:
        """Whether there is nothing to log in with."""
        return not (self.username or self.identity_token or self.registry_token)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of a blob, and an index of a manifest.

    Source: OCI image-spec, descriptor.md.
    """

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, byte for byte as the registry has it."""

    media_type: str
    digest: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """What a registry answers to good credentials.

    Args:
        identity_token: To be used in place of the password from now on, or empty.
    """

    identity_token: str = field(default="", repr=False)
