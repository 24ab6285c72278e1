"""The configuration file: a TOML table per command, and defaults at the top for every command that has the flag.

    data = "/var/lib/hooats"        # top: any command that has --data
    [node]                          # one command
    port = 8080
    [keeper]                        # every keeper
    max-fee-gwei = 20.0
    [keeper.settle]                 # one keeper
    key = "/etc/hooats/settler.key"

Invariant: flag > environment > file > default, which is click's own order once the file is its `default_map`; a key
that no flag has, or a value that its flag would refuse, stops every command. A file that nobody named is taken only if
nobody else could have put it there. Deliberately not in the file: positional arguments, and secrets themselves (only
names of files that hold them).
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from offchain.cli.options import KeyFile, is_key
from offchain.cli.urls import WITHHELD, Url, redacted
from offchain.domain.errors import ConfigurationError

DEFAULT_FILE = Path("hooats.toml")
FILE_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 8
"""A value of a keeper is at the third level."""

Tables = dict[str, Any]


class Configuration(NamedTuple):
    """`tables` is a click `default_map`: per command name its values, or the tables of its own commands.

    `file` is None if there is none. `values` counts what was read; `mistakes` are for `config check` only, which lists
    them all.
    """

    file: Path | None
    tables: Tables
    values: int
    mistakes: tuple[ConfigurationError, ...] = ()
    is_named: bool = True
    """False: it was found where the command was run."""


class Setting(NamedTuple):
    """One flag of one command: `source` is "flag", "environment NAME", "file" or "default"; `value` may be shown."""

    command: str
    flag: str
    value: str
    source: str


def load_configuration(file: Path | None, root: click.Group, *, is_checked: bool = False) -> Configuration:
    """Reads and checks the file; ./hooats.toml if it exists and none is named.

    `ConfigurationError` names the file, the key or value that is wrong, and what would be right: of the first mistake,
    unless `is_checked`.
    """
    is_named = file is not None
    if file is None:
        if not DEFAULT_FILE.is_file():
            return Configuration(None, {}, 0)
        file = DEFAULT_FILE
        _require_own(file)
    content = _read(file)
    if not content:
        return Configuration(file, {}, 0, (), is_named)  # what it could say is a question for every command
    reader = _Reader(file, root)
    tables, mistakes = reader.tables(content), tuple(reader.mistakes)
    if mistakes and not is_checked:
        raise first_of(mistakes)
    return Configuration(file, tables, reader.values, mistakes, is_named)


def first_of(mistakes: tuple[ConfigurationError, ...]) -> ConfigurationError:
    """One line for all of them."""
    first, more = mistakes[0], len(mistakes) - 1
    if not more:
        return first
    return ConfigurationError(
        f"{first.message} (and {more} more: `hooats config check` lists all)", remedy=first.remedy
    )


def _require_own(file: Path) -> None:
    """Whoever stands in a folder that others write must not take their registry and their exchange for his own."""
    status = file.stat()
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & stat.S_IWOTH:
        raise ConfigurationError(
            f"./{file} was not named, and others may have written it",
            remedy=f"If you trust it, name it: --config ./{file}; or make it yours alone",
        )


def keeper_defaults(tables: Mapping[str, Any], name: str) -> Tables:
    """The values of one keeper: its own table over that of all keepers."""
    own = tables.get(name)
    shared = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    return shared | (own if isinstance(own, dict) else {})


def settings_of(
    command: click.Command, path: tuple[str, ...], tables: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> Iterator[Setting]:
    """What each flag of a command would be if it was run now; `given` are flags."""
    context = click.Context(
        command, info_name=path[-1], default_map=dict(tables), resilient_parsing=True
    )  # asks nothing
    for option in _options(command):
        value, source = option.consume_value(context, dict(given or {}))
        yield Setting(" ".join(path), _flag_of(option), shown(option, value), _source(option, source))


def values_of(command: click.Command, tables: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says to a command, by parameter and as its callback gets it; where it is silent, the environment
    and the defaults. BadParameter for what a flag does not take."""
    context = click.Context(command, resilient_parsing=True)
    found: dict[str, Any] = {}
    for option in _options(command):
        name = str(option.name)
        value = tables[name] if name in tables else option.consume_value(context, {})[0]
        found[name] = option.type_cast_value(context, value)
    return found


def shown(option: click.Option, value: Any) -> str:
    """The value as text; of a URL what may hold a provider's key or a password is left out."""
    if isinstance(value, tuple | list):
        value = ",".join(map(str, value))
    if value in (None, ""):
        return "(none)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(option.type, KeyFile) and is_key(value):
        return WITHHELD
    return redacted(str(value)) if "://" in str(value) else str(value)


def unread_variables(root: click.Group, known: frozenset[str]) -> list[str]:
    """HOOATS_… variables of the environment that no flag reads, with the nearest name that one does."""
    commands = [root, *_commands(root)]
    names = {name for command in commands for option in _options(command) for name in _variables(option)}
    found = []
    for name in sorted(os.environ):
        if name.startswith("HOOATS_") and name not in names | known:
            found.append(f"{name} is read by nothing{_nearest(name, names)}")
    return found


def refused_variables(root: click.Group) -> list[str]:
    """HOOATS_… variables of the environment whose value their flag does not take, each once."""
    found: dict[str, str] = {}
    for command in [root, *_commands(root)]:
        context = click.Context(command, resilient_parsing=True)
        for option in _options(command):
            name = next((name for name in _variables(option) if os.environ.get(name)), None)
            if name is None:
                continue
            try:
                option.type_cast_value(context, option.value_from_envvar(context))
            except click.UsageError as error:
                found.setdefault(name, f"environment: {name}: {_reason(option, error)}")
    return list(found.values())


class _Reader:
    """Checks a decoded file against the flags of the commands. What is wrong is kept, and left out."""

    def __init__(self, file: Path, root: click.Group) -> None:
        self.values = 0
        self.mistakes: list[ConfigurationError] = []
        self._file, self._root = file, root

    def tables(self, content: Mapping[str, Any]) -> Tables:
        self._require_printable(content, "")
        shared = {key: value for key, value in content.items() if not isinstance(value, dict)}
        options = {key: option for command in _commands(self._root) for key, option in _by_key(command).items()}
        top: Tables = {}
        for key, value in shared.items():
            if key not in self._root.commands:
                self._take(top, options, key, value, ("at the top,", ""))
        return self._group(self._root, content, top, "")

    def _group(self, group: click.Group, content: Mapping[str, Any], defaults: Tables, place: str) -> Tables:
        """Tables of a group's commands, each over the defaults from above."""
        for key, value in content.items():
            if isinstance(value, dict) and key not in group.commands:
                self._unknown(f"[{_join(place, key)}]", "command", key, group.commands)
        return {
            name: self._command(command, content.get(name, {}), defaults, _join(place, name))
            for name, command in group.commands.items()
        }

    def _command(self, command: click.Command, content: object, defaults: Tables, place: str) -> Tables:
        if not isinstance(content, dict):
            self._mistake(f"{place} is a command", f"Write its flags under [{place}]")
            content = {}
        if isinstance(command, click.Group):
            for key, value in content.items():
                if not isinstance(value, dict):
                    self._unknown(f"[{place}] {key}", "command", key, command.commands)
            return self._group(command, content, defaults, place)
        options = _by_key(command)
        own = {option.name: defaults[option.name] for option in options.values() if option.name in defaults}
        tables: Tables = {str(name): value for name, value in own.items()}
        names = _names(command)
        for key, value in content.items():
            if isinstance(value, dict) and key in names:
                inner: Tables = {}
                for item, of_item in value.items():
                    self._take(inner, options, item, of_item, (f"[{place}.{key}]", f"{place}.{key}"))
                tables[key] = inner
            else:
                self._take(tables, options, key, value, (f"[{place}]", place), names)
        return tables

    def _take(
        self,
        into: Tables,
        options: Mapping[str, click.Option],
        key: str,
        value: object,
        places: tuple[str, str],
        more: tuple[str, ...] = (),
    ) -> None:
        """Enters one key, if there is such a flag and it takes the value. `places`: where a key, and a value, is."""
        option = options.get(_key(key))
        if option is None or option.name is None:
            kind = "keeper or flag" if more else "flag"
            self._unknown(f"{places[0]} {key}", kind, _key(key), [*options, *more])
            return
        try:
            into[option.name] = self._value(option, key, value, places[1])
        except ConfigurationError as error:
            self.mistakes.append(error)

    def _value(self, option: click.Option, key: str, value: object, place: str) -> object:
        """The value as click takes it; lists are joined by commas."""
        where = f"{self._file}: [{place}] {key}" if place else f"{self._file}: {key}"
        if option.multiple:
            return self._values(option, value, where)
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = ",".join(value)
        if isinstance(value, list | dict) or not isinstance(value, str | int | float | bool):
            raise ConfigurationError(f"{where} is no plain value", remedy="A string, a number, true or false")
        if isinstance(value, bool) != (option.is_flag is True):
            right = "true or false" if option.is_flag else option.type.name
            raise ConfigurationError(f"{where} = {value!r} is of the wrong kind", remedy=f"It takes {right}")
        if isinstance(option.type, click.Path | Url):
            _require_text(value, where)
        if isinstance(option.type, click.types.IntParamType) and isinstance(value, float):
            remedy = f"See --help of {_flag_of(option)}"
            raise ConfigurationError(f"{where}: {value} is not a whole number{_range(option)}", remedy=remedy)
        try:
            option.type.convert(value, option, None)
        except click.UsageError as error:
            raise ConfigurationError(
                f"{where}: {_reason(option, error)}", remedy=f"See --help of {_flag_of(option)}"
            ) from None
        self.values += 1
        return value

    def _values(self, option: click.Option, value: object, where: str) -> object:
        """Of a flag that may be given several times; one string is a list of one."""
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise ConfigurationError(f"{where} is no list of strings", remedy=f"See --help of {_flag_of(option)}")
        try:
            option.type_cast_value(click.Context(click.Command(None)), value)
        except click.UsageError as error:
            reason = error.message.rstrip(".")
            raise ConfigurationError(f"{where}: {reason}", remedy=f"See --help of {_flag_of(option)}") from None
        self.values += 1
        return value

    def _require_printable(self, value: object, place: str, depth: int = 0) -> None:
        """Names and values end up on terminals and in logs; a character that steers those has no business here."""
        if depth > DEPTH_MAX:
            raise _too_deep(self._file)
        if isinstance(value, dict):
            for key, inner in value.items():
                self._require_printable(key, place)
                self._require_printable(inner, _join(place, ascii(key)[1:-1]), depth + 1)
        elif isinstance(value, list):
            for inner in value:
                self._require_printable(inner, place, depth + 1)
        elif isinstance(value, str) and not value.isprintable():
            # Nothing more can be said of this file without printing it.
            raise ConfigurationError(
                f"{self._file}: {place or 'a key'}: {value[:40]!a} has control characters", remedy="Take them out"
            )

    def _mistake(self, words: str, remedy: str) -> None:
        self.mistakes.append(ConfigurationError(f"{self._file}: {words}", remedy=remedy))

    def _unknown(self, what: str, kind: str, key: str, known: Any) -> None:
        words = f"{what}: there is no such {kind}{_nearest(key, known)}"
        self._mistake(words, "`hooats config show` lists them all")


def _reason(option: click.Option, error: click.UsageError) -> str:
    """What a value is not, in plain words."""
    reason = error.message.rstrip(".")
    value, found, _ = reason.partition(" is not ")
    if not found or not isinstance(option.type, click.types.IntParamType):
        return reason
    return f"{value} is not a whole number{_range(option)}"


def _range(option: click.Option) -> str:
    low, high = getattr(option.type, "min", None), getattr(option.type, "max", None)
    return f" from {low} to {high}" if high is not None else f" from {low} on" if low is not None else ""


def _require_text(value: object, where: str) -> None:
    """For a name of a file, a folder or a host. An empty one would be the folder where the command is run."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{where} = {value!r} is of the wrong kind", remedy="It takes text, in quotes")
    if not value.strip():
        raise ConfigurationError(f"{where} is empty", remedy="Write what it names, or leave it out")


def _read(file: Path) -> dict[str, Any]:
    try:
        raw = _bytes_of(file)
        return tomllib.loads(raw.decode())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot read configuration file {file}: {reason}", remedy="Check --config") from None
    except RecursionError:
        raise _too_deep(file) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"configuration file {file} is not TOML: {error}", remedy="Like port = 8080") from None


def _too_deep(file: Path) -> ConfigurationError:
    return ConfigurationError(f"configuration file {file} is nested too deeply", remedy="Like port = 8080")


def _bytes_of(file: Path) -> bytes:
    """Never waits, and never reads more than a configuration can be: a device or a pipe is no file. But for the empty
    one, which says that there is to be no configuration."""
    if file == Path(os.devnull):
        return b""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigurationError(f"configuration file {file} is no regular file", remedy="Check --config")
        raw = opened.read(FILE_BYTES_MAX + 1)
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigurationError(f"configuration file {file} is larger than {FILE_BYTES_MAX} bytes")
    return raw


def _commands(group: click.Group) -> Iterator[click.Command]:
    """Every command that is no group."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _commands(command)
        else:
            yield command


def _options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def _names(command: click.Command) -> tuple[str, ...]:
    """Values of the command's first argument that have tables of their own: the keepers'."""
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and parameter.is_eager and isinstance(parameter.type, click.Choice):
            return tuple(parameter.type.choices)
    return ()


def _by_key(command: click.Command) -> dict[str, click.Option]:
    return {_flag_of(option).lstrip("-"): option for option in _options(command)}


def _flag_of(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--"))


def _key(key: str) -> str:
    return key.replace("_", "-")


def _variables(option: click.Option) -> list[str]:
    names = option.envvar or []
    return [names] if isinstance(names, str) else list(names)


def _source(option: click.Option, source: ParameterSource) -> str:
    match source:
        case ParameterSource.COMMANDLINE:
            return "flag"
        case ParameterSource.ENVIRONMENT:
            return "environment " + next(name for name in _variables(option) if os.environ.get(name))
        case ParameterSource.DEFAULT_MAP:
            return "file"
        case _:
            return "default"


def _nearest(key: str, known: Any) -> str:
    words = difflib.get_close_matches(re.sub(r"_", "-", key) if "-" in "".join(known) else key, list(known), 1, 0.5)
    return f"; nearest is {words[0]}" if words else ""


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
