"""Say whether the name of a parameter or of a field says that its value is a secret. Pure.

``SECURITY.md`` lists for users what counts.
"""

import re

#: Begins a word inside a name: ``accountKey``, ``SASToken``.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_WORD = re.compile(r"[a-z]+")


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: A name says secret wherever one of these ends a word, or two words that are read as one: ``dbpassword``,
#: ``api_key_prod``, ``Connection String``.
_ENDINGS = tuple(
    f"{ending}{plural}"
    for ending in (
        *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "credential", "token"),
        *("passwort", "kennwort", "wachtwoord", "contrasena", "senha"),
        *("connectionstring", "connstring", "connstr"),
        *("accesskey", "accountkey", "apikey", "authkey", "encryptionkey", "functionkey", "hostkey"),
        *("masterkey", "privatekey", "sharedkey", "signingkey", "storagekey", "subscriptionkey"),
    )
    for plural in ("", "s")
)

#: These say secret as a word of their own, unless they only begin a name: ``key_mapping``.
_WORDS = _listed("key keys pass passe pw sas sig signature pat jwt cred creds bearer auth authorization")

#: With one of these words before it, a key or token is none that opens anything.
_ORDINARY = {
    "key": _listed(
        "primary foreign unique natural surrogate business composite candidate alternate merge upsert match "
        "join left right lookup group by sort order partition cluster clustering distribution shard bucket "
        "hash dedup row record table column index date entity dimension fact object cache message event task "
        "job idempotency config property public"
    ),
    "token": _listed("max min num total page continuation idempotency"),
}

#: The primary key of one of these is a key of Azure and not one of a table.
_SERVICES = _listed("access account api cosmos storage")

#: Names of where somebody signs in; ``user:password@host`` may stand there.
_SIGN_IN = _listed(
    "broker conn connection connections database db dsn endpoint host jdbc login logon proxy remote server "
    "smtp uri uris url urls"
)

#: With one of these as its last word a name only speaks about a secret: ``secret_scope``, ``token_url``.
_ABOUT = _listed(
    "alg algorithm budget col cols column columns count date dir enabled endpoint expiry field fields file "
    "files format host id ids kind length limit location method mode name names path paths policy prefix "
    "provider required schema scope scopes size suffix table tables ttl type uri url vault version"
)


def says_secret(name: str) -> bool:
    """Say whether a name says secret: in snake_case, camelCase, kebab-case, upper case or with dots."""
    words = _WORD.findall(_HUMP.sub(" ", name).lower())
    if not words or words[-1] in _ABOUT:
        return False
    return any(_is_secret(words, at) for at in range(len(words)))


def says_sign_in(name: str) -> bool:
    """Say whether a name is one of something that people and programs sign in to."""
    return not _SIGN_IN.isdisjoint(_WORD.findall(_HUMP.sub(" ", name).lower()))


def _is_secret(words: list[str], at: int) -> bool:
    word, before = words[at], words[at - 1] if at else ""
    if before in _ORDINARY.get(word.removesuffix("s"), ()):
        return before == "primary" and at > 1 and words[at - 2] in _SERVICES
    if (before + word).endswith(_ENDINGS):
        return True
    return word in _WORDS and (at > 0 or (len(words) == 1 and word != "keys"))
